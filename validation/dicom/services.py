"""What the program negotiates with an archive, from the file that the conformance statement is made of."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from validation.data import shipped


@cache
def services() -> dict[str, Any]:
    """Return the content of ``templates/dicom/services.yaml``."""
    data: dict[str, Any] = yaml.safe_load(shipped("templates", "dicom", "services.yaml").read_text(encoding="utf-8"))
    return data


def pulled_classes() -> dict[str, str]:
    """Return the storage SOP classes that are retrieved, UID to name."""
    return {str(uid): str(name) for uid, name in services()["pulled"].items()}


def transfer_syntaxes() -> dict[str, str]:
    """Return the transfer syntaxes that are proposed and accepted, UID to name, in order of preference."""
    return {str(uid): str(name) for uid, name in services()["transfer_syntaxes"].items()}
