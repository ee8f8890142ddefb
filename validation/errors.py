"""Every error a user can meet, as one tree.

::

    ValidationProblem            exit code
    ├── UsageProblem             2   the command line or a settings file is wrong
    ├── ProtocolProblem          2   the protocol is wrong, unlocked or changed since the lock
    ├── DataProblem              3   cases, tables, DICOM or NIfTI files are refused
    ├── ModelProblem             3   the model cannot be loaded or does not do what it says
    ├── RunProblem               3   the run could not finish; no verdict was reached
    └── IntegrityProblem         4   evidence does not match its hashes or signatures

A problem says what is wrong, where (file and line), why it matters and what to do next. It has a code, such as
``COH-003``, that ``validation explain`` knows (``validation/error_codes.yaml``). Everything else that is raised is
a defect of this package and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class ValidationProblem(Exception):
    """A refusal that the user can act on.

    Parameters
    ----------
    what
        One sentence: what is wrong, naming values but never protected health information.
    code
        Stable identifier, listed in ``error_codes.yaml``.
    where
        File and line (``protocol.yaml:12:5``), column, case id or option; empty if there is no place.
    why
        Why it matters for the evidence, in one sentence.
    action
        What to do next, in one sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, code: str, where: str = "", why: str = "", action: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.code = code
        self.where = where
        self.why = why
        self.action = action

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        tail = " ".join(part for part in (self.why, self.action) if part)
        return f"[{self.code}] {place}{self.what}" + (f" {tail}" if tail else "")

    def to_dict(self) -> dict[str, str]:
        """Return the parts, for ``--json``."""
        return {"code": self.code, "what": self.what, "where": self.where, "why": self.why, "action": self.action}


class UsageProblem(ValidationProblem):
    """The command line or a settings file is wrong."""

    exit_code = 2


class ProtocolProblem(ValidationProblem):
    """The protocol is wrong, unlocked, or changed since the lock."""

    exit_code = 2


class DataProblem(ValidationProblem):
    """Cases, tables or images are refused."""

    exit_code = 3


class ModelProblem(ValidationProblem):
    """The model cannot be loaded or does not do what it says."""

    exit_code = 3


class RunProblem(ValidationProblem):
    """The run could not finish; no verdict was reached."""

    exit_code = 3


class IntegrityProblem(ValidationProblem):
    """Evidence does not match its hashes or signatures."""

    exit_code = 4
