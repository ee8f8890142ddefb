"""Multi-reader multi-case studies: scores in, the design found, estimates, tests and components of variance out.

The road of a score: :mod:`tables` and :mod:`imrmc_files` read files into :class:`scores.ReaderScores`; :mod:`design`
says what was found and which analyses that allows; :mod:`pairs` and :mod:`figures` turn arrays ``(trial, reader,
modality, case)`` into figures of merit; :mod:`covariance` estimates their covariance; :mod:`obuchowski_rockette`,
:mod:`dbm` and :mod:`ustatistics` turn these into standard errors and degrees of freedom; :mod:`judgement` compares them
with a margin; :mod:`analysis` does all of it for one table of scores.
"""
