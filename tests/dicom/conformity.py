"""What `dciodvfy` (Debian's dicom3tools) says about a file, less the complaints that are accepted, with the reason."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

# A complaint is accepted only for a reason that holds for every file.
ACCEPTED = (
    # Synthetic Data (0008,001C) is younger than the program; it is in the SOP Common Module of PS3.3 (C.12.1).
    r"\(0x0008,0x001c\)",
    r"Dicom dataset contains attributes not present in standard DICOM IOD",
    # Study ID, Study Time ... are those of the source, which may be empty (type 2).
    r"needed to build DICOMDIR",
    # A metric without a code in a public scheme has one in a private scheme (PS3.16 8.2).
    r"Unrecognized defined term <99\w+> for value 1 of attribute <Coding Scheme Designator>",
)


def complaints(path: Path) -> list[str]:
    """Return the errors and warnings that are not accepted; the test is skipped where the program is absent."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    said = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = [line for line in said.stderr.splitlines() if re.search(r"\b(Error|Warning)\b", line)]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in ACCEPTED)]
