"""MONAI bundles, read without running the Python expressions that their configurations may hold.

MONAI's own parser evaluates every value that starts with ``$``. A bundle is a file from elsewhere, so only two forms
are accepted: a TorchScript model (``models/model.ts``), or a network of ``monai.networks.nets`` given by plain values,
with weights that PyTorch's restricted reader accepts. Intensity scaling and windows come from study.yaml, where the
protocol's readers see them, never from the bundle's pre-processing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from validation.errors import ModelProblem
from validation.models.loaders import fill, load_torchscript

_NETWORKS = "monai.networks.nets."
_NAMES = ("network_def", "network", "net", "model")
MAXIMUM_BYTES = 4 << 20


def load_bundle(folder: Path, device: torch.device) -> nn.Module:
    """Load the network of a bundle folder.

    Raises
    ------
    ModelProblem
        If the folder is no bundle, its network needs Python expressions (MOD-003, MOD-004), or the weights are refused
        or do not fit (MOD-003, MOD-006).
    """
    scripted = folder / "models" / "model.ts"
    if scripted.is_file():
        return load_torchscript(scripted, device)
    weights = folder / "models" / "model.pt"
    config = next(
        (f for f in (folder / "configs" / f"inference.{end}" for end in ("json", "yaml", "yml")) if f.is_file()), None
    )
    if config is None or not weights.is_file():
        raise ModelProblem(
            "this folder is no MONAI bundle: it has neither models/model.ts nor configs/inference.json with a "
            "models/model.pt.",
            code="MOD-004",
            where=folder.name,
        )
    settings = _read(config)
    definition = next((settings[name] for name in _NAMES if isinstance(settings.get(name), dict)), None)
    if definition is None:
        raise ModelProblem(
            f"the configuration defines no network ({', '.join(_NAMES)}).", code="MOD-004", where=config.name
        )
    network = _build(_plain(definition, settings, config.name), config.name)
    fill(network, weights)
    return network.to(device).eval()


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAXIMUM_BYTES:
        raise ModelProblem("the configuration is too large.", code="MOD-004", where=path.name)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else _safe_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise ModelProblem("the configuration cannot be read.", code="MOD-004", where=path.name) from None
    if not isinstance(content, dict):
        raise ModelProblem("the configuration is not a mapping.", code="MOD-004", where=path.name)
    return content


def _safe_yaml(text: str) -> Any:
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
        raise ValueError("aliases can expand without bound")
    return yaml.safe_load(text)


def _plain(value: Any, settings: dict[str, Any], place: str, depth: int = 0) -> Any:
    """Return a value with its ``@references`` replaced; refuse expressions and endless references."""
    if depth > 20:
        raise ModelProblem("the references of the network go round in a circle.", code="MOD-004", where=place)
    if isinstance(value, dict):
        return {key: _plain(item, settings, place, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, settings, place, depth + 1) for item in value]
    if isinstance(value, str) and value.startswith("$"):
        raise ModelProblem(
            "the network is defined by a Python expression, which is not run.",
            code="MOD-003",
            where=place,
            why="An expression from a file can do anything to this machine and to the evidence.",
            action="Export the bundle as TorchScript (`python -m monai.bundle ckpt_export`): models/model.ts.",
        )
    if isinstance(value, str) and value.startswith("@"):
        found: Any = settings
        for step in value[1:].replace("#", "::").split("::"):
            try:
                found = found[int(step)] if isinstance(found, list) else found[step]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ModelProblem(f"the reference {value!r} leads nowhere.", code="MOD-004", where=place) from None
        return _plain(found, settings, place, depth + 1)
    return value


def _build(definition: dict[str, Any], place: str) -> nn.Module:
    import monai.networks.nets as nets

    target = str(definition.get("_target_", ""))
    name = target.removeprefix(_NETWORKS)
    cls = getattr(nets, name, None) if name.isidentifier() else None
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ModelProblem(
            f"the network {target!r} is not one of monai.networks.nets.",
            code="MOD-003",
            where=place,
            action="Export the bundle as TorchScript, or name the class as `entry_point` with kind `weights`.",
        )
    arguments = {key: item for key, item in definition.items() if not key.startswith("_")}
    try:
        made: nn.Module = cls(**arguments)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelProblem(f"the network cannot be made: {error}", code="MOD-004", where=place) from None
    return made
