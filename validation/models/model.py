"""The model as the run engine sees it: cases in, answers out, one seed per case and draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from validation.dicom.image import Image
from validation.errors import ModelProblem, ValidationProblem
from validation.metrics.detection.marks import Marks
from validation.models.archive import check_sha256
from validation.models.inference import Precision, ask_whole, run_network
from validation.models.loaders import Network, load_entry_point, load_exported, load_onnx, load_torchscript
from validation.models.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Cases of equal shape that are shown to a model together.

    Parameters
    ----------
    images
        Inputs in the image unit, ``(B, H, W)`` or ``(B, D, H, W)``, on the model's device.
    case_ids, rows, seeds
        One per case: its id, its row of the case table, and the seed of this draw.
    draw
        Which sample of a stochastic model this is, from 0.
    grids
        Grid of each case's output with unit and geometry, by which outputs that are read from files are aligned.
    upsampling
        Voxels of the output per voxel of the input and axis; empty where they lie on one grid.
    texts
        Source texts of each case. The signed report and other references are never among them.
    """

    images: Tensor
    case_ids: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]
    draw: int = 0
    grids: tuple[Image, ...] = ()
    texts: tuple[Mapping[str, str], ...] = ()
    upsampling: tuple[int, ...] = ()


class Model(ABC):
    """A loaded model.

    Attributes
    ----------
    spec
        What study.yaml says about it.
    sha256
        SHA-256 of its file or folder; of the factory's source file for an entry point; ``None`` if there is neither.
    parameters
        Number of parameters, or ``None`` where the format does not tell.
    """

    def __init__(self, spec: ModelSpec, *, sha256: str | None, parameters: int | None) -> None:
        self.spec = spec
        self.sha256 = sha256
        self.parameters = parameters

    @property
    def needs_image(self) -> bool:
        """Whether a case must bring an input image."""
        return True

    @abstractmethod
    def predict(self, batch: Batch, *, precision: Precision = "fp32") -> Tensor:
        """Return images in the image unit or label maps, on the grids of the batch; or scores ``(B, K)``.

        Raises
        ------
        ModelProblem
            If the model fails or its output has another shape (MOD-007). Values are not checked here.
        torch.OutOfMemoryError
            If the batch does not fit; the caller tries a smaller one.
        """

    def mark(self, batch: Batch, *, precision: Precision = "fp32") -> list[Marks]:
        """Return the marks of each case, for a model whose answer is marks; failures as :meth:`predict`."""
        raise NotImplementedError(f"{self.spec.name} answers with {self.spec.answer}")

    def draft(self, batch: Batch) -> list[str]:
        """Return the drafted text of each case, for a model whose answer is text; failures as :meth:`predict`."""
        raise NotImplementedError(f"{self.spec.name} answers with {self.spec.answer}")

    def describe(self) -> dict[str, Any]:
        """Return what the record says about the model, as plain JSON types."""
        return {
            "name": self.spec.name,
            "version": self.spec.version,
            "kind": self.spec.kind,
            "family": self.spec.family,
            "sha256": self.sha256,
            "parameters": self.parameters,
            "stochastic": self.spec.stochastic,
        }


class NetworkModel(Model):
    """A model that is run here."""

    def __init__(
        self, spec: ModelSpec, network: Network, *, device: torch.device, sha256: str | None, parameters: int | None
    ) -> None:
        super().__init__(spec, sha256=sha256, parameters=parameters)
        self.device = device
        self._network = network

    @property
    def needs_image(self) -> bool:
        """Networks see images; only a writer of texts may do without."""
        return self.spec.answer != "text"

    def predict(self, batch: Batch, *, precision: Precision = "fp32") -> Tensor:
        """Scale, run and scale back; see :meth:`Model.predict`.

        A stochastic model is run case by case with PyTorch's generators set to the seed of the case and draw, so that a
        sample does not depend on which cases share its batch. Samplers must draw from PyTorch's generators.
        """
        self._check_precision(precision)
        images = batch.images.to(self.device, torch.float32)
        if not self.spec.stochastic:
            return self._asked(images, precision, batch.upsampling)
        outputs = []
        for index, seed in enumerate(batch.seeds):
            with self._seeded(seed):
                outputs.append(self._asked(images[index : index + 1], precision, batch.upsampling))
        return torch.cat(outputs)

    def mark(self, batch: Batch, *, precision: Precision = "fp32") -> list[Marks]:
        """Show one image ``(1, 1, *spatial)`` at a time; the answer is ``(m, 1 + ndim)``: rating, voxel indices."""
        self._check_precision(precision)
        found = []
        for image in batch.images.to(self.device, torch.float32):
            answer = ask_whole(self._network, image.unsqueeze(0), self.spec, precision)
            width = 1 + image.ndim
            if not isinstance(answer, Tensor) or answer.ndim != 2 or answer.shape[1] != width:
                raise _answered(answer, f"(number of marks, {width}): the rating, then {image.ndim} voxel indices")
            values = answer.double().cpu().numpy()
            found.append(Marks(ratings=values[:, 0], positions=values[:, 1:]))
        return found

    def draft(self, batch: Batch) -> list[str]:
        """Call the entry point with ``texts`` (by name) and ``image`` (in the image unit, or None), case by case."""
        found = []
        for index, texts in enumerate(batch.texts):
            image = batch.images[index] if batch.images.numel() else None
            with self._seeded(batch.seeds[index]):
                try:
                    answer = self._network(texts=dict(texts), image=image)
                except ValidationProblem:
                    raise
                except Exception as error:  # foreign code: whatever it raises is its failure. Its words may hold text
                    raise ModelProblem(  # of the patient, so that only the class is named.
                        f"the model failed to draft a text ({type(error).__name__}).",
                        code="MOD-007",
                        action="Run the entry point on this case by itself to see why.",
                    ) from None
            if not isinstance(answer, str):
                raise _answered(answer, "a text")
            found.append(answer)
        return found

    def _asked(self, images: Tensor, precision: Precision, upsampling: tuple[int, ...]) -> Tensor:
        if self.spec.answer != "scores":
            return run_network(self._network, images, self.spec, precision, upsampling)
        answer = ask_whole(self._network, images, self.spec, precision)
        wanted = (len(images), len(self.spec.scores))
        if isinstance(answer, Tensor) and answer.shape == wanted[:1] and wanted[1] == 1:
            answer = answer.unsqueeze(1)
        if not isinstance(answer, Tensor) or tuple(answer.shape) != wanted:
            raise _answered(answer, f"{wanted}: one row per case, one column per name in `scores`")
        return answer.double()

    def _seeded(self, seed: int) -> AbstractContextManager[Any]:
        """Return a context in which PyTorch's generators start from a seed."""
        stack = ExitStack()
        stack.enter_context(torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []))
        torch.manual_seed(seed)
        return stack

    def _check_precision(self, precision: Precision) -> None:
        if precision != "fp32" and self.spec.kind == "onnx":
            raise ModelProblem(
                f"an ONNX model runs in the precision it was saved in; {precision} cannot be asked of it.",
                code="MOD-008",
            )


def _answered(answer: Any, wanted: str) -> ModelProblem:
    found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    return ModelProblem(
        f"the model answered {found}; needed is {wanted}.",
        code="MOD-007",
        why="An answer of another form cannot be measured.",
        action="Check `answer` under `model:` in study.yaml, and what the network returns.",
    )


def load_model(spec: ModelSpec, root: Path, device: torch.device) -> Model:
    """Check and load the model that study.yaml names.

    Parameters
    ----------
    spec
        The ``model:`` part of study.yaml.
    root
        Folder that ``spec.path`` is relative to.
    device
        Where it is to run.

    Raises
    ------
    ModelProblem
        If the file is missing (MOD-001), is not the one of the stated SHA-256 (MOD-002), is of another kind or a pickle
        (MOD-003), cannot be loaded (MOD-004), the entry point fails (MOD-005) or the weights do not fit (MOD-006).
    """
    path = None if spec.path is None else root / spec.path
    sha256 = None if path is None else check_sha256(path, spec.sha256)
    if path is not None and spec.kind == "precomputed":
        if spec.from_table:
            from validation.models.answer_table import TableModel

            return TableModel(spec, path, device=device, sha256=sha256)
        from validation.models.precomputed import PrecomputedModel

        return PrecomputedModel(spec, path, device=device, sha256=sha256)
    network: Network
    if path is not None and spec.kind == "torchscript":
        network = load_torchscript(path, device)
    elif path is not None and spec.kind == "exported":
        network = load_exported(path, device)
    elif path is not None and spec.kind == "onnx":
        network = load_onnx(path, device)
    elif path is not None and spec.kind == "monai_bundle":
        from validation.models.bundle import load_bundle

        network = load_bundle(path, device)
    else:
        network, source_sha256 = load_entry_point(spec, path, device)
        sha256 = sha256 or source_sha256
    parameters = sum(p.numel() for p in network.parameters()) if isinstance(network, nn.Module) else None
    return NetworkModel(spec, network, device=device, sha256=sha256, parameters=parameters)
