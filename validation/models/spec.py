"""The ``model:`` part of study.yaml: which model, in which file, with which hash, run in which way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["torchscript", "exported", "monai_bundle", "onnx", "entry_point", "weights", "precomputed"]
Answer = Literal["image", "labels", "scores", "marks", "text"]
TABLES = (".csv", ".parquet")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EntryPoint = Annotated[str, Field(pattern=r"^[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*:[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*$")]


class _Part(BaseModel):
    """Unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scaling(_Part):
    """Linear map between image intensities and what the network sees.

    The network sees ``(clip(image) - offset) / scale``; its answer is mapped back by ``answer * scale + offset``.
    """

    offset: float = Field(default=0.0, description="Image intensity that the network sees as 0, in the image unit.")
    scale: float = Field(default=1.0, gt=0, description="Image intensity per unit of the network, in the image unit.")
    clip: tuple[float, float] | None = Field(
        default=None, description="Lowest and highest image intensity shown to the network, in the image unit."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Scaling:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError("`clip` is [lowest, highest], and the lowest must be smaller")
        return self


class Inference(_Part):
    """How images are cut up for the network. Fixed in the study because it changes the output."""

    mode: Literal["2d", "2.5d", "3d"] = Field(
        default="2d",
        description="`2d`: slice by slice; `2.5d`: a slice with its neighbours as channels; `3d`: volumes.",
    )
    neighbours: int = Field(
        default=1,
        ge=1,
        le=16,
        description="For `2.5d`: slices on each side; the outermost slice is repeated at the ends.",
    )
    roi_size: tuple[int, ...] | None = Field(
        default=None,
        description="Sliding window in voxels: [rows, columns], or [slices, rows, columns] for `3d`. Without it the "
        "whole image is shown at once.",
    )
    overlap: float = Field(default=0.25, ge=0, lt=1, description="Share by which neighbouring windows overlap.")
    blend: Literal["constant", "gaussian"] = Field(
        default="gaussian", description="How overlapping windows are averaged."
    )
    window_batch: int = Field(
        default=4, ge=1, description="Slices or windows of one case shown to the network together."
    )

    @model_validator(mode="after")
    def _window(self) -> Inference:
        wanted = 3 if self.mode == "3d" else 2
        if self.roi_size is not None and (len(self.roi_size) != wanted or min(self.roi_size) < 1):
            raise ValueError(f"`roi_size` needs {wanted} positive numbers for mode {self.mode!r}")
        return self


class ModelSpec(_Part):
    """A model under evaluation and where it is found.

    Kinds
    -----
    ``torchscript``
        A TorchScript archive (``torch.jit.save``).
    ``exported``
        A ``torch.export`` archive (``.pt2``).
    ``monai_bundle``
        A MONAI bundle folder: ``models/model.ts``, or ``network_def`` in ``configs/inference.json`` (or ``.yaml``) with
        ``models/model.pt``. Configurations that contain Python expressions in the network are refused.
    ``onnx``
        An ONNX file, run by onnxruntime on the CPU (``pip install genmed-validation[onnx]``).
    ``entry_point``
        ``package.module:factory``; ``factory(**arguments)`` returns a callable from tensor to tensor.
    ``weights``
        As ``entry_point``, where the factory makes the architecture and ``path`` holds its state dictionary.
    ``precomputed``
        A folder of outputs for models that cannot be shared, see ``outputs``; or, for scores, marks and texts, a table.

    Answers
    -------
    ``image``
        An image on the grid of the input, in its unit.
    ``labels``
        A label map on that grid; ``structures`` says which label is which structure. A network answers with the label
        of each voxel, with one channel per label (the largest wins), or with one probability (``threshold``).
    ``scores``
        One number per name in ``scores`` and case.
    ``marks``
        Places in the image, each with a rating, any number of them (none included).
    ``text``
        A drafted report. It is given the texts of the case whose name begins with ``source``, and its input image.
    """

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    kind: Kind
    family: str = Field(default="", description="Architecture family, for the model card.")
    path: str | None = Field(default=None, description="File or folder, relative to the study folder.")
    sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256 of the file; for a folder, of the canonical list of its files and their SHA-256.",
    )
    entry_point: EntryPoint | None = Field(default=None, description="package.module:factory")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    outputs: str | None = Field(
        default=None,
        description="For `precomputed`: locator of an output in the folder, with {case_id}, {draw} and columns of the "
        "case table in braces, such as `{case_id}/draw{draw}.nii.gz`.",
        examples=["{case_id}.nii.gz", "{output_file}"],
    )
    answer: Answer = Field(default="image", description="What the model answers with.")
    structures: dict[str, Annotated[int, Field(ge=1, le=65535)]] = Field(
        default_factory=dict, description="For `labels`: name of each structure -> its label in the answer."
    )
    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="For `labels` with one structure: the network answers with a probability, inside at or above this.",
    )
    scores: tuple[str, ...] = Field(default=(), description="For `scores`: their names, in the order of the answer.")
    stochastic: bool = Field(default=False, description="Whether repeated runs on one case differ (a sampler).")
    inference: Inference = Field(default_factory=Inference)
    scaling: Scaling = Field(default_factory=Scaling)

    @model_validator(mode="after")
    def _complete(self) -> ModelSpec:
        needs_path = self.kind != "entry_point"
        if needs_path and not self.path:
            raise ValueError(f"a model of kind {self.kind!r} needs `path`")
        if not needs_path and (self.path or self.sha256):
            raise ValueError(
                "an entry point without weights has no `path` or `sha256`; use kind `weights` for a weight file"
            )
        if (self.kind in ("entry_point", "weights")) != (self.entry_point is not None):
            raise ValueError("`entry_point` belongs to the kinds `entry_point` and `weights`, and they need it")
        if (self.kind == "precomputed" and not self.from_table) != (self.outputs is not None):
            raise ValueError("`outputs` belongs to the kind `precomputed` with a folder, and it needs it")
        self._check_answer()
        if self.arguments and self.entry_point is None:
            raise ValueError("`arguments` belong to an `entry_point`")
        return self

    @property
    def from_table(self) -> bool:
        """Whether precomputed answers stand in a table rather than in files of their own."""
        return self.kind == "precomputed" and (self.path or "").lower().endswith(TABLES)

    @property
    def on_grid(self) -> bool:
        """Whether the answer lies on the grid of the input: an image or a label map."""
        return self.answer in ("image", "labels")

    def _check_answer(self) -> None:
        """Raise ValueError where what describes the answer does not fit its kind."""
        if (self.answer == "labels") != bool(self.structures):
            raise ValueError("`structures` belongs to the answer `labels`, and it needs it")
        if len(set(self.structures.values())) != len(self.structures):
            raise ValueError("two `structures` have the same label")
        if self.threshold is not None and len(self.structures) != 1:
            raise ValueError("`threshold` belongs to the answer `labels` with one structure")
        if (self.answer == "scores") != bool(self.scores):
            raise ValueError("`scores` names the scores of the answer `scores`, and it needs them")
        if len(set(self.scores)) != len(self.scores):
            raise ValueError("`scores` names one score twice")
        if self.from_table and self.on_grid:
            raise ValueError("images and label maps are files; give their folder as `path` and `outputs`")
        if self.kind == "precomputed" and self.answer in ("scores", "marks") and not self.from_table:
            raise ValueError(f"precomputed {self.answer} are given as a table: `path` names a .csv or .parquet file")
        if self.answer == "marks" and self.stochastic:
            raise ValueError("marks of repeated samples cannot be averaged; evaluate a fixed rule over the samples")
