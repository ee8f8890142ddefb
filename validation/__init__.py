"""Turns a locked protocol into regulatory evidence for generative medical models.

The rooms of the package are described in ``docs/architecture.md``; the command line is ``validation --help``.
Importing this package imports nothing heavy: torch, MONAI, Great Expectations and WeasyPrint are loaded by the
verb that needs them.
"""

__version__ = "0.1.0"
