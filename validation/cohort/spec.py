"""Where a cohort lies and how its case table is to be read: the `cohort` part of ``study.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Millimetres = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]

ROLES = ("input", "reference", "baseline")
MASK_PREFIX = "mask."


class ArraySource(BaseModel):
    """What array files (NPY, NPZ, NIfTI) do not say themselves; values become ``slope * stored + intercept``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    unit: str | None = Field(default=None, min_length=1, description="Unit after slope and intercept, such as HU.")
    spacing_mm: list[Millimetres] | None = Field(
        default=None,
        min_length=2,
        max_length=3,
        description="Spacing per array axis (slice, row, column), for files without one.",
    )
    slope: float = Field(default=1.0, allow_inf_nan=False, description="Multiplies stored values.")
    intercept: float = Field(
        default=0.0, allow_inf_nan=False, description="Added after the slope, e.g. -1000 for HU stored with offset."
    )


class CohortSpec(BaseModel):
    """A case table and the folder that its locators are relative to."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["images", "table"] = Field(
        default="images",
        description="`images`: cells of role columns name images; `table`: the rows themselves are the data (records "
        "of patients), and case ids are replaced by keyed pseudonyms.",
    )
    drop: list[str] = Field(
        default_factory=list,
        description="For `table`: columns that describe the case but are not measured, such as site.",
    )
    folder: str = Field(
        default=".", description="Cohort folder, relative to the study folder; locators may not leave it."
    )
    table: str = Field(description="Case table, CSV (UTF-8, with header) or Parquet, relative to the study folder.")
    case_id: str = Field(default="case_id", description="Column that names the case, unique per row.")
    patient: str = Field(default="patient_id", description="Column that names the patient (the cluster).")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Renames: name used in the protocol -> column of the table."
    )
    arrays: ArraySource = Field(default_factory=ArraySource)
    upsampling: list[Annotated[int, Field(ge=1, le=64)]] | None = Field(
        default=None,
        min_length=2,
        max_length=3,
        description="For super-resolution: voxels of the output per voxel of the input, per array axis (slice, row, "
        "column), such as [1, 4, 4]. Inputs are then coarser than all other images by these factors.",
    )
    input_unit: str | None = Field(
        default=None,
        min_length=1,
        description="For modality translation: unit of the inputs where it is another than that of the outputs, such "
        "as `a.u.` of MR signal. Inputs are then no comparator, and `arrays.slope` and `intercept` are not applied.",
    )
    unreadable: Literal["stop", "reject"] = Field(
        default="stop",
        description="`stop` refuses a cohort with an unreadable case; `reject` lists it and the worst case is assumed.",
    )

    @model_validator(mode="after")
    def _renames(self) -> CohortSpec:
        if len(set(self.columns.values())) != len(self.columns):
            raise ValueError("`columns` maps one table column to two names")
        return self
