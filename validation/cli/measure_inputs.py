"""What `validation measure` is given: role=path pairs read as arrays or tables, name=value pairs as parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.registry import Kind, Metric

TABLES = (".csv", ".parquet")
REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a file holds: a table, or an array with its spacing and unit where the file says them."""

    where: str
    table: pd.DataFrame | None = None
    array: npt.NDArray[Any] | None = None
    spacing_mm: tuple[float, ...] = ()
    unit: str = ""


def split_pair(text: str, *, option: str, code: str) -> tuple[str, str]:
    """Return name and value of ``name=value``.

    >>> split_pair("output=a.npz:key", option="--input", code="CLI-010")
    ('output', 'a.npz:key')
    """
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value.strip():
        raise UsageProblem(f"{option} {text!r} is not name=value.", code=code, where=option)
    return name.strip(), value.strip()


def roles_of(metrics: Iterable[Metric]) -> list[str]:
    """Return every role that the metrics declare, required ones first."""
    metrics = list(metrics)
    required = [role for m in metrics for role in m.roles]
    return list(dict.fromkeys(required + [role for m in metrics for role in m.optional_roles]))


def check_roles(given: Iterable[str], metrics: list[Metric]) -> None:
    """Refuse roles that no metric has, and metrics whose required roles are missing (CLI-010)."""
    given, known = set(given), roles_of(metrics)
    for role in sorted(given - set(known)):
        near = get_close_matches(role, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Roles are {', '.join(known)}."
        raise UsageProblem(
            f"no chosen metric has the role {role!r}.", code="CLI-010", where=f"--input {role}=", action=hint
        )
    for metric in metrics:
        missing = [role for role in metric.roles if role not in given]
        if missing:
            raise UsageProblem(
                f"the metric {metric.name!r} needs {', '.join(missing)}.",
                code="CLI-010",
                where="--input",
                action="Add " + " ".join(f"--input {role}=FILE" for role in missing) + ".",
            )


def read(text: str, *, images: bool) -> Data:
    """Read one input: NPY, NPZ with key, NIfTI, DICOM file or folder, CSV or Parquet.

    Parameters
    ----------
    text
        Path; for NPZ ``path:key``.
    images
        Whether pixels are wanted (a metric per case) rather than a data set.

    Raises
    ------
    UsageProblem, DataProblem
        CLI-012, or the code of the reader.
    """
    lower = text.lower()
    if lower.endswith(TABLES):
        if images:
            raise UsageProblem(
                "this is a table, and the metric measures images.",
                code="CLI-012",
                where=text,
                action="Give NPY, NPZ, NIfTI or DICOM.",
            )
        return Data(where=text, table=_read_table(Path(text)))
    if ".npz:" in lower or lower.endswith((".npy", ".npz")):
        return Data(where=text, array=_read_array(text, finite=images))
    if not images:
        raise UsageProblem(
            "the metric measures data sets, not images.",
            code="CLI-012",
            where=text,
            action="Give CSV, Parquet, NPY or NPZ.",
        )
    from validation.dicom.locators import read_image

    path = Path(text)
    if not path.exists():
        raise _missing(text)
    image = read_image(path.name or ".", path.parent)
    return Data(where=text, array=image.array, spacing_mm=image.spacing_mm, unit=image.unit)


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise _missing(str(path))
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            # only an empty cell is missing: "NA" and "None" are values of many clinical tables
            table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except Exception as error:  # pandas and pyarrow raise many kinds for damaged files
        raise DataProblem(
            f"the table cannot be read ({type(error).__name__}).",
            code="CLI-012",
            where=str(path),
            action="Save it again as CSV (UTF-8, one header line) or Parquet.",
        ) from None
    if table.empty:
        raise DataProblem("the table has no rows.", code="CLI-012", where=str(path))
    return table


def _read_array(text: str, *, finite: bool) -> npt.NDArray[Any]:
    from validation.dicom.arrays import check_npy, check_npz

    cut = text.lower().find(".npz")
    try:
        if cut < 0:
            check_npy(Path(text))
            array = np.load(text, allow_pickle=False)
        else:
            name, key = text[: cut + 4], text[cut + 5 :]
            if not key:
                raise UsageProblem(
                    "an NPZ file needs the key of an array.", code="CLI-012", where=text, action="Write file.npz:key."
                )
            check_npz(Path(name), key)
            with np.load(name, allow_pickle=False) as archive:
                array = archive[key]
    except (ValueError, OSError, EOFError) as error:
        raise DataProblem(f"the array cannot be read ({type(error).__name__}).", code="CLI-012", where=text) from None
    if finite and not np.isfinite(array).all():
        raise DataProblem(
            "the image holds values that are not finite numbers.",
            code="CLI-012",
            where=text,
            why="No mean survives them.",
        )
    return np.asarray(array)


def _missing(where: str) -> DataProblem:
    return DataProblem("there is no such file or folder.", code="CLI-012", where=where, action="Check the path.")


def cases_of(data: list[Data], *, role: str, axis: int | None) -> list[Data]:
    """Return one entry per case: every file is a case, or every index of an axis of each array (CLI-013)."""
    if axis is None:
        return data
    cases = []
    for item in data:
        array = item.array
        if array is None or not -array.ndim <= axis < array.ndim or array.ndim < 3:
            shape = None if array is None else array.shape
            raise UsageProblem(
                f"the {role} has shape {shape}: it has no axis {axis} of cases besides those of the image.",
                code="CLI-013",
                where="--cases-axis",
            )
        axis_from_start = axis % array.ndim
        spacing = tuple(s for k, s in enumerate(item.spacing_mm) if k != axis_from_start)
        for index in range(array.shape[axis]):
            part = np.take(array, index, axis=axis)
            cases.append(Data(where=f"{item.where}[{index}]", array=part, spacing_mm=spacing, unit=item.unit))
    return cases


def parameters_for(metrics: list[Metric], given: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each metric, converted to the types its function declares.

    Raises
    ------
    UsageProblem
        CLI-011 if a parameter is unknown to all metrics, of the wrong type, or required and missing.
    """
    known = list(dict.fromkeys(name for m in metrics for name in m.parameters()))
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Parameters are {', '.join(known) or 'none'}."
            raise UsageProblem(
                f"no chosen metric has the parameter {name!r}.", code="CLI-011", where=f"--param {name}", action=hint
            )
    chosen: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        declared = inspect.signature(metric.function).parameters
        values = {name: _convert(name, text, declared[name]) for name, text in given.items() if name in declared}
        missing = [
            name
            for name, default in metric.parameters().items()
            if default is REQUIRED and name not in values and name != "spacing_mm"
        ]
        if missing:
            raise UsageProblem(
                f"the metric {metric.name!r} needs {', '.join(missing)}.",
                code="CLI-011",
                where="--param",
                action="Add " + " ".join(f"--param {name}=VALUE" for name in missing) + ".",
            )
        chosen[metric.name] = values
    return chosen


def _convert(name: str, text: str, declared: inspect.Parameter) -> Any:
    kinds = {part.strip() for part in str(declared.annotation).split("|")}
    if "None" in kinds and text.lower() == "none":
        return None
    try:
        if name == "spacing_mm":
            return tuple(float(part) for part in text.split(","))
        if "bool" in kinds:
            return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
        if "int" in kinds:
            return int(text)
        if "float" in kinds:
            return float(text)
        many = next((k for k in kinds if k.startswith(("tuple", "list", "Sequence"))), "")
        if many:
            parts = [part.strip() for part in text.split(",")]
            number = float if "float" in many else int if "int" in many else str
            return (list if many.startswith("list") else tuple)(number(part) for part in parts)
    except (ValueError, KeyError):
        raise UsageProblem(
            f"{name} is {text!r}, which is not {' or '.join(sorted(kinds))}.", code="CLI-011", where=f"--param {name}"
        ) from None
    return text


def measures_images(metric: Metric) -> bool:
    """Return whether the metric is computed per case, on pixels."""
    return metric.kind is not Kind.ESTIMATE
