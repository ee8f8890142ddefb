"""The data sets of a study by role: training, control, synthetic and further tables, event streams or feature arrays.

A set is named under ``data.sets`` of study.yaml. The set ``holdout`` need not be named: it is the case table of the
cohort (of kind ``table``), whose eligible rows are the cases. What a metric is given holds no identifiers; patients are
known by keyed pseudonyms only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.cohort.dictionary import Dictionary, load_dictionary
from validation.cohort.open import Cohort
from validation.cohort.pseudonyms import pseudonyms
from validation.digest import sha256_file
from validation.errors import DataProblem
from validation.tables import read_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

HOLDOUT = "holdout"
SUBJECT = "subject_id"
"""The column of an event stream that names the patient, whatever it is called in the file (as in MEDS)."""


class ExtractSpec(BaseModel):
    """How images of a set become features: radiomic ones, which need no weights, or those of a network of the user."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    network: str | None = Field(
        default=None,
        description="TorchScript (.ts, .pt) or ONNX (.onnx): takes (n, 1, rows, columns), returns (n, d).",
    )
    low: float | None = Field(default=None, description="For radiomic features: lowest intensity of the bins.")
    high: float | None = Field(default=None, description="For radiomic features: highest intensity of the bins.")
    bins: int = Field(default=32, ge=2, le=256, description="For radiomic features: number of grey levels.")
    offset: float = Field(default=0.0, description="For a network: image intensity that it sees as 0.")
    scale: float = Field(default=1.0, gt=0, description="For a network: image intensity per unit of the network.")

    @model_validator(mode="after")
    def _one(self) -> ExtractSpec:
        radiomic = self.low is not None and self.high is not None and self.low < self.high
        if radiomic == (self.network is not None):
            raise ValueError("features come from a `network`, or are radiomic with `low` below `high`")
        return self


class SetSpec(BaseModel):
    """One data set: a table with a row per patient, a stream of events, or an array of features."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: str | None = Field(default=None, description="CSV or Parquet with one row per patient.")
    events: str | None = Field(default=None, description="CSV or Parquet with one row per event (subject, time, code).")
    features: str | None = Field(default=None, description="NPY, or NPZ with the key after a colon: one row per case.")
    images: str | None = Field(
        default=None,
        description="Images whose features are made in the run: NPY, or NPZ with the key after a colon, (n, rows, "
        "columns) or (n, slices, rows, columns); `table` has one row per image (patient, condition).",
    )
    extract: ExtractSpec | None = Field(default=None, description="For `images`: how they become features.")
    patient: str = Field(default="patient_id", description="Column that names the patient; never measured.")
    drop: list[str] = Field(default_factory=list, description="Further columns that are not measured.")

    @model_validator(mode="after")
    def _one(self) -> SetSpec:
        if sum(x is not None for x in (self.table, self.events, self.features)) != 1:
            raise ValueError(
                "a data set is named by exactly one of `table`, `events` and `features` (`images` go with a `table`)"
            )
        if (self.images is None) != (self.extract is None) or (self.images is not None and self.table is None):
            raise ValueError("`images`, `extract` and a `table` with one row per image go together")
        return self

    @property
    def path(self) -> str:
        """The file, relative to the study folder."""
        return _file(self.table or self.events or self.features or "")


class DataSpec(BaseModel):
    """The data sets of a study besides the cohort. Paths are relative to the folder of study.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sets: dict[str, SetSpec] = Field(default_factory=dict, description="Data sets by name: train, control, synthetic.")
    dictionary: str | None = Field(default=None, description="Data dictionary (YAML): type, unit, codes, range.")

    def files(self, root: Path) -> dict[str, Path]:
        """Return every file by what it is: ``set train``, ``dictionary``."""
        found = {f"set {name}": root / spec.path for name, spec in self.sets.items()}
        for name, spec in self.sets.items():
            if spec.images is not None:
                found[f"images of {name}"] = root / _file(spec.images)
            if spec.extract is not None and spec.extract.network is not None:
                found[f"features of {name}"] = root / spec.extract.network
        return found | ({"dictionary": root / self.dictionary} if self.dictionary else {})


@dataclass(frozen=True, eq=False, kw_only=True)
class DataSet:
    """A data set as metrics see it.

    Attributes
    ----------
    name, kind
        Name in the study; ``table``, ``events``, ``features`` or ``images``.
    data
        The table without identifiers (an event stream keeps its subjects), or the array.
    patients
        Keyed pseudonym of each row's patient (event stream: of each history, in order of first appearance); empty where
        rows name none (synthetic records).
    images, extract
        For ``images``: the array, one image per row of ``data``, and how it becomes features.
    sha256
        Of the file, or of the generator's table as CSV; empty for the cohort, which its own seal covers.
    """

    name: str
    kind: str
    data: pd.DataFrame | npt.NDArray[np.float64]
    patients: tuple[str, ...] = ()
    sha256: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)
    images: npt.NDArray[np.float32] | None = None
    extract: ExtractSpec | None = None

    @property
    def n_patients(self) -> int:
        """Number of independent patients; of rows where they are not named."""
        return len(set(self.patients)) if self.patients else len(self.data)

    def describe(self) -> dict[str, Any]:
        """Return what the record says about the set, as plain JSON types. No cell of it leaves."""
        columns = [] if self.kind == "features" else [str(c) for c in self.data.columns]  # type: ignore[union-attr]
        facts = {"kind": self.kind, "n": len(self.data), "n_patients": self.n_patients, "columns": columns}
        return facts | {"sha256": self.sha256, **self.origin}


class DataSets:
    """The data sets of a study, each read when it is first asked for.

    Parameters
    ----------
    spec
        The ``data`` part of study.yaml, or None.
    root
        Folder of study.yaml.
    cohort, eligible
        The open cohort and the ids of its eligible cases; they are the holdout where no other is named.
    key
        Key of the pseudonyms.
    """

    def __init__(
        self,
        spec: DataSpec | None,
        root: Path,
        cohort: Cohort,
        eligible: tuple[str, ...],
        key: bytes,
    ) -> None:
        self._spec = spec or DataSpec()
        self._root, self._cohort, self._eligible, self._key = root, cohort, eligible, key
        self._read: dict[str, DataSet] = {}
        path = self._spec.dictionary
        self.dictionary: Dictionary | None = load_dictionary(root / path) if path else None

    def names(self) -> set[str]:
        """Return the names of every set that there is."""
        own = {HOLDOUT} if self._cohort.spec.kind == "table" else set()
        return {*self._spec.sets, *self._read, *own}

    def add(self, made: DataSet) -> None:
        """Add a set that a generator made."""
        self._read[made.name] = made

    def __getitem__(self, name: str) -> DataSet:
        """Read a set.

        Raises
        ------
        DataProblem
            If there is none of that name (COH-080), its file cannot be read, it lacks the patient (COH-081), or its
            cells do not agree with the dictionary (COH-083).
        """
        if name not in self._read:
            if name not in self.names():
                raise DataProblem(
                    f"the study has no data set {name!r}.",
                    code="COH-080",
                    where="study.yaml, data.sets",
                    action=f"Name its file; there are {', '.join(sorted(self.names())) or 'none'}.",
                )
            self._read[name] = self._open(name)
        return self._read[name]

    def prepared(self, name: str, prepare: Callable[[DataSet, Path], DataSet]) -> DataSet:
        """Return a set after a step that is made once and then kept, such as the features of its images."""
        self._read[name] = prepare(self[name], self._root)
        return self._read[name]

    def _open(self, name: str) -> DataSet:
        spec = self._spec.sets.get(name)
        if spec is None:
            return self._holdout()
        path = self._root / spec.path
        if spec.features is not None:
            return DataSet(name=name, kind="features", data=read_features(self._root, spec.features), sha256=_sha(path))
        frame = read_table(path, text_columns=[spec.patient])
        frame.attrs.clear()
        gone = [c for c in spec.drop if c not in frame.columns]
        if gone:
            raise _lacks(path, gone[0], "`drop` names it")
        if spec.events is not None:
            return self._events(name, spec, frame.drop(columns=spec.drop), path)
        patients: tuple[str, ...] = ()
        if spec.patient in frame.columns:
            patients = tuple(pseudonyms(_named(frame, spec.patient, path), self._key))
            frame = frame.drop(columns=spec.patient)
        elif name == HOLDOUT:
            raise _lacks(path, spec.patient, "patients are the clusters")
        frame = frame.drop(columns=spec.drop)
        if name == HOLDOUT and patients:
            keep = [p in self._eligible_patients() for p in patients]
            frame, patients = frame[keep], tuple(p for p, k in zip(patients, keep, strict=True) if k)
        if spec.images is not None:
            return self._images(name, spec, frame.reset_index(drop=True), patients)
        return DataSet(name=name, kind="table", data=self._typed(name, frame), patients=patients, sha256=_sha(path))

    def _images(self, name: str, spec: SetSpec, rows: pd.DataFrame, patients: tuple[str, ...]) -> DataSet:
        """Return a set of images with the facts of each row."""
        images = read_images(self._root, spec.images or "")
        if len(images) != len(rows):
            raise DataProblem(
                f"the set has {len(images)} images and {len(rows)} rows.",
                code="COH-085",
                where=f"{name}: {spec.images}",
                action="Give one row per image, in the same order.",
            )
        facts = {"table_sha256": _sha(self._root / spec.path)}
        return DataSet(
            name=name, kind="images", data=rows, patients=patients, sha256=_sha(self._root / _file(spec.images or "")),
            origin=facts, images=images, extract=spec.extract,
        )  # fmt: skip

    def _events(self, name: str, spec: SetSpec, frame: pd.DataFrame, path: Path) -> DataSet:
        """Return an event stream, its subjects replaced by pseudonyms; the holdout is that of eligible patients."""
        if spec.patient not in frame.columns:
            raise _lacks(path, spec.patient, "events belong to patients")
        who = pseudonyms(_named(frame, spec.patient, path), self._key)
        frame = frame.drop(columns=spec.patient).assign(**{SUBJECT: who})
        if name == HOLDOUT:
            frame = frame[frame[SUBJECT].isin(self._eligible_patients())]
        patients = tuple(dict.fromkeys(frame[SUBJECT]))  # one per history, in order of first appearance
        frame = frame.reset_index(drop=True)
        return DataSet(name=name, kind="events", data=frame, patients=patients, sha256=_sha(path))

    def _holdout(self) -> DataSet:
        spec = self._cohort.spec
        frame = self._cohort.cases.loc[list(self._eligible)]
        patients = tuple(pseudonyms(frame[spec.patient], self._key))
        names = [c for c in (spec.patient, spec.case_id, *spec.drop) if c in frame.columns]
        frame = frame.drop(columns=names).reset_index(drop=True)
        return DataSet(name=HOLDOUT, kind="table", data=self._typed(HOLDOUT, frame), patients=patients)

    def _eligible_patients(self) -> set[str]:
        return set(pseudonyms(self._cohort.cases.loc[list(self._eligible), self._cohort.spec.patient], self._key))

    def _typed(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.reset_index(drop=True)
        return frame if self.dictionary is None else self.dictionary.applied(frame, where=f"set {name}")


def read_features(root: Path, name: str) -> npt.NDArray[np.float64]:
    """Read an array of features, ``(n, d)``, from NPY or ``file.npz:key``.

    Raises
    ------
    DataProblem
        COH-082 if it cannot be read, is not a table of finite numbers, or has no rows.
    """
    return _array(root, name, (2,), "Save an array of shape (cases, features): x.npy or x.npz:key.").astype("float64")


def read_images(root: Path, name: str) -> npt.NDArray[np.float32]:
    """Read images, ``(n, rows, columns)`` or ``(n, slices, rows, columns)``, from NPY or ``file.npz:key``.

    Raises
    ------
    DataProblem
        COH-082, as for features.
    """
    return _array(root, name, (3, 4), "Save an array (images, rows, columns): x.npy or x.npz:key.").astype("float32")


def _array(root: Path, name: str, axes: tuple[int, ...], action: str) -> npt.NDArray[Any]:
    import numpy as np

    from validation.dicom.arrays import check_npy, check_npz

    def refuse(what: str) -> DataProblem:
        return DataProblem(what, code="COH-082", where=name, action=action)

    path = root / _file(name)
    try:
        if path.name == Path(name).name:
            check_npy(path)
            array = np.load(path, allow_pickle=False)
        else:
            key = name[len(_file(name)) + 1 :]
            check_npz(path, key)
            with np.load(path, allow_pickle=False) as archive:
                array = archive[key]
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise refuse(f"the array cannot be read ({type(error).__name__}).") from None
    if array.ndim not in axes or not len(array) or not np.issubdtype(array.dtype, np.number):
        raise refuse(f"the array has shape {array.shape} and type {array.dtype}.")
    if not np.isfinite(array).all():
        raise refuse("the array holds values that are not finite numbers.")
    return np.asarray(array)


def _file(name: str) -> str:
    """Return the file of a name such as ``file.npz:key``."""
    cut = name.lower().find(".npz:")
    return name if cut < 0 else name[: cut + 4]


def _sha(path: Path) -> str:
    return sha256_file(path)


def _named(frame: pd.DataFrame, column: str, path: Path) -> pd.Series[Any]:
    """Return the patients of a table after refusing rows that name none."""
    blank = (frame[column].isna() | (frame[column].astype(str).str.strip() == "")).to_numpy(bool)
    if blank.any():
        raise DataProblem(
            f"{int(blank.sum())} rows have no {column}.",
            code="COH-081",
            where=f"{path.name}, row {int(blank.argmax()) + 1}",
            why="Patients are the independent units.",
            action="Fill the column.",
        )
    return frame[column]


def _lacks(path: Path, column: str, why: str) -> DataProblem:
    return DataProblem(
        f"the table has no column {column!r} ({why}).",
        code="COH-081",
        where=f"{path.name}:1",
        action="Add the column, or name yours (`patient`, `drop`) under `data.sets` in study.yaml.",
    )
