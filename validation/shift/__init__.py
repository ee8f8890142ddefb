"""Is the new data different, and is the difference smaller than the margin.

:func:`~validation.shift.compare.compare` compares two tables; :func:`~validation.shift.compare.shift_report` does
what the plan of a protocol asks for and returns the section ``shift`` of the results.
"""
