"""One loader per kind of model: each returns a callable from tensor to tensor, in evaluation mode."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from validation.digest import sha256_file
from validation.entry_points import import_factory
from validation.errors import ModelProblem
from validation.models.archive import read_weights, require_exported, require_torchscript
from validation.models.spec import ModelSpec

Network = Callable[..., Any]


def load_torchscript(path: Path, device: torch.device) -> nn.Module:
    """Load a TorchScript archive after checking that it is one."""
    return load_torchscript_with(path, device, {})


def load_torchscript_with(path: Path, device: torch.device, extra: dict[str, Any]) -> nn.Module:
    """As :func:`load_torchscript`, and fill ``extra`` with the further files of the archive that its keys name."""
    require_torchscript(path)
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream, yet cleared products ship it; the notice is for those who write it.
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        try:
            module: nn.Module = torch.jit.load(str(path), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise _unreadable(path, "TorchScript", error) from None
    return module.eval()


def load_exported(path: Path, device: torch.device) -> nn.Module:
    """Load a ``torch.export`` archive after checking that it is one and holds no pickle."""
    require_exported(path)
    from torch.export.passes import move_to_device_pass

    try:
        program = torch.export.load(str(path))
        module: nn.Module = move_to_device_pass(program, device).module()
    except (RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise _unreadable(path, "torch.export", error) from None
    return module  # exported in a fixed mode: eval() does not apply


def load_onnx(path: Path, device: torch.device) -> Network:
    """Load an ONNX file with onnxruntime on the CPU.

    The bytes are handed over rather than the path, so that a model cannot name further files to be read.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ModelProblem(
            "onnxruntime is not installed.", code="MOD-004", action="Run `pip install genmed-validation[onnx]`."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class per failure, none of them public
        raise _unreadable(path, "ONNX", error) from None
    if len(session.get_inputs()) != 1:
        raise ModelProblem(
            f"the ONNX model takes {len(session.get_inputs())} inputs; it must take one image.",
            code="MOD-004",
            where=path.name,
        )
    name = session.get_inputs()[0].name

    def network(batch: Tensor) -> Tensor:
        array = batch.detach().to("cpu", torch.float32).numpy()
        return torch.from_numpy(session.run(None, {name: array})[0]).to(batch.device)

    return network


def load_entry_point(spec: ModelSpec, path: Path | None, device: torch.device) -> tuple[Network, str | None]:
    """Make a model from a Python factory, fill in weights if there are any, and return it with its source's SHA-256.

    The factory is the user's own installed Python code and runs as such.
    """
    factory = import_factory(spec.entry_point or "")
    try:
        made = factory(**spec.arguments)
    except TypeError as error:
        raise ModelProblem(
            f"the factory does not accept the arguments: {error}.",
            code="MOD-005",
            where=spec.entry_point or "",
            action="Compare `model.arguments` in study.yaml with the parameters of the factory.",
        ) from None
    if not callable(made):
        raise ModelProblem(
            "the factory returned something that cannot be called.", code="MOD-005", where=spec.entry_point or ""
        )
    if path is not None:
        if not isinstance(made, nn.Module):
            raise ModelProblem(
                "weights can be put into a torch.nn.Module only.", code="MOD-005", where=spec.entry_point or ""
            )
        fill(made, path)
    if isinstance(made, nn.Module):
        made = made.to(device).eval()
    return made, source_sha256(factory)


def fill(module: nn.Module, path: Path) -> None:
    """Put the weights of a file into a module; every name and shape must match.

    Raises
    ------
    ModelProblem
        If the file is refused or does not fit (MOD-006).
    """
    try:
        module.load_state_dict(read_weights(path), strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())
        raise ModelProblem(
            f"the weights do not fit the architecture: {detail[:300]}.",
            code="MOD-006",
            where=path.name,
            why="Parameters that are left out or misplaced make another model.",
            action="Check the factory's arguments against the training script.",
        ) from None


def source_sha256(factory: Callable[..., Any]) -> str | None:
    """Return the SHA-256 of the file that a function is written in; None if there is none."""
    try:
        source = inspect.getsourcefile(factory)
        return sha256_file(Path(source)) if source else None
    except (TypeError, OSError):
        return None


def _unreadable(path: Path, format_name: str, error: Exception) -> ModelProblem:
    first_line = str(error).strip().split("\n", 1)[0][:200]
    return ModelProblem(
        f"the {format_name} file cannot be loaded: {first_line or type(error).__name__}",
        code="MOD-004",
        where=path.name,
        action="Check that it was saved by a version of its library that this one can read.",
    )
