"""What a model file really is, decided by its bytes before anything is loaded from it.

A pickle runs whatever its author wrote as soon as it is read. No pickle is read here: TorchScript and ``torch.export``
files must have the structure of their format, and weights are read by PyTorch's restricted reader
(``torch.load(weights_only=True)``), which builds tensors and plain containers only.

TorchScript and exported programs are programs all the same. They cannot call into Python, but they compute what their
author wrote, and a defect in PyTorch's own readers could be abused. That risk remains; it is met by pinning the
SHA-256 of a file from a known source in study.yaml.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from validation.digest import sha256_file, sha256_json
from validation.errors import ModelProblem

MAXIMUM_ENTRIES = 200_000
MAXIMUM_CONFIG_BYTES = 64 << 20
_WHY = "Reading a pickle runs the code in it, so it could do anything to this machine and to the evidence."


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a model file or folder.

    For a folder: of the RFC 8785 form of ``[[relative path, SHA-256], ...]``, sorted by path, hidden files left out.

    Raises
    ------
    ModelProblem
        If there is nothing at ``path``, or a link in a folder leads outside it.
    """
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise ModelProblem(
            "there is no model file or folder here.",
            code="MOD-001",
            where=str(path),
            why="Without the model nothing can be measured.",
            action="Check `model.path` in study.yaml; it is relative to the study folder.",
        )
    root = path.resolve()
    listing: list[list[str]] = []
    for item in sorted(path.rglob("*")):
        relative = item.relative_to(path)
        if any(part.startswith(".") for part in relative.parts) or not item.is_file():
            continue
        if not item.resolve().is_relative_to(root):
            raise ModelProblem("a link leads out of the model folder.", code="MOD-001", where=relative.as_posix())
        listing.append([relative.as_posix(), sha256_file(item)])
    return sha256_json(listing)


def check_sha256(path: Path, expected: str | None) -> str:
    """Return the SHA-256 of a model file or folder after comparing it with the one stated in study.yaml.

    Raises
    ------
    ModelProblem
        If they differ (MOD-002).
    """
    found = file_sha256(path)
    if expected is not None and found != expected:
        raise ModelProblem(
            f"the model is not the one that study.yaml names: its SHA-256 is {found}, stated is {expected}.",
            code="MOD-002",
            where=path.name,
            why="Evidence about another file says nothing about this model.",
            action="Restore the file, or state the new SHA-256 as a new model version.",
        )
    return found


def require_torchscript(path: Path) -> None:
    """Refuse a file that is not a TorchScript archive (MOD-003)."""
    names = _members(path, "TorchScript")
    if not any("code" in PurePosixPath(n).parts for n in names) or not _has(names, "constants.pkl"):
        hint = "It looks like saved weights: use kind `weights`." if _has(names, "data.pkl") else ""
        raise _refuse(path, "it is a zip archive, but not one that `torch.jit.save` writes. " + hint)


def require_exported(path: Path) -> None:
    """Refuse a file that is not a ``torch.export`` archive, or one that carries pickles or native libraries (MOD-003).

    ``torch.export.load`` unpickles weights marked ``use_pickle``, and constants that are neither tensors nor numbers,
    without restriction, so an archive that holds any of them is not opened.
    """
    names = _members(path, "torch.export")
    if not _has(names, "archive_format") or not any("/models/" in n and n.endswith(".json") for n in names):
        raise _refuse(path, "it is a zip archive, but not one that `torch.export.save` writes.")
    if any("/data/aotinductor/" in n or n.endswith((".so", ".dll", ".dylib")) for n in names):
        raise _refuse(path, "it holds compiled native code.")
    with zipfile.ZipFile(path) as archive:
        configs = [n for n in names if n.endswith(("_weights_config.json", "_constants_config.json"))]
        if len(configs) < 2:
            raise _refuse(
                path, "it is of the old format that stores weights as a pickle. Save it again with a recent PyTorch."
            )
        for name in configs:
            for key, entry in _json_member(archive, name, path).get("config", {}).items():
                tensor = str(entry.get("path_name", "")).startswith(("tensor_", "weight_"))
                if entry.get("use_pickle") or not tensor:
                    raise _refuse(path, f"its entry {key!r} is stored as a pickle.")


def read_weights(path: Path) -> dict[str, Any]:
    """Read a state dictionary with PyTorch's restricted reader.

    Accepts a bare state dictionary, or a mapping that holds one under ``state_dict`` or ``model``.

    Raises
    ------
    ModelProblem
        If the file would need unpickling, or holds no mapping of names to tensors (MOD-003).
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, ValueError ... on foreign bytes
        reason = (
            "it holds Python objects other than tensors."
            if "weights_only" in str(error).lower()
            else "it cannot be read."
        )
        raise _refuse(path, reason) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(torch.is_tensor(v) for v in content.values()):
        raise _refuse(path, "it holds no mapping of parameter names to tensors.")
    return content


def _members(path: Path, format_name: str) -> list[str]:
    if not path.is_file():
        raise _refuse(path, "it is not a file.")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            first = stream.read(2)
        pickled = len(first) == 2 and first[0] == 0x80 and first[1] <= 5
        raise _refuse(path, "it is a Python pickle." if pickled else f"it is not a {format_name} archive.")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if len({name.lower() for name in names}) != len(names):
        # Readers differ in which of two equal names they take (and PyTorch's ignores case): what is checked here would
        # not be what is loaded.
        raise _refuse(path, "two of its entries have the same name.")
    if len(names) > MAXIMUM_ENTRIES:
        raise _refuse(path, f"it has {len(names)} entries.")
    return names


def _has(names: list[str], leaf: str) -> bool:
    return any(PurePosixPath(n).name == leaf for n in names)


def _json_member(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    if archive.getinfo(name).file_size > MAXIMUM_CONFIG_BYTES:
        raise _refuse(path, "one of its settings files is too large.")
    try:
        content = json.loads(archive.read(name))
    except ValueError:
        raise _refuse(path, "one of its settings files is not JSON.") from None
    return content if isinstance(content, dict) else {}


def _refuse(path: Path, reason: str) -> ModelProblem:
    return ModelProblem(
        f"the model file was not opened: {reason.strip()}",
        code="MOD-003",
        where=path.name,
        why=_WHY if "pickle" in reason or "Python objects" in reason else "A file of the wrong kind is not the model.",
        action="Save the model with torch.jit.save or torch.export.save, or its state_dict with torch.save.",
    )
