"""The data dictionary of tables: for each column its type, unit, codes, physiological range and what missing means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.errors import DataProblem
from validation.protocol.load import load_yaml_model

if TYPE_CHECKING:
    import pandas as pd

Code = str | int | float | bool
Number = Annotated[float, Field(allow_inf_nan=False)]


class Column(BaseModel):
    """One column of a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["number", "category", "date", "identifier"]
    label: str = Field(default="", description="What the column holds, in words.")
    unit: str = Field(default="", description="Unit of a number, such as mm[Hg] (UCUM).")
    range: tuple[Number, Number] | None = Field(
        default=None, description="Smallest and largest value that a living person can have, in the unit."
    )
    codes: dict[Code, str] = Field(default_factory=dict, description="Meaning of every code of a category.")
    missing: str = Field(default="", description="What an empty cell means; empty if none may be.")

    @model_validator(mode="after")
    def _fits(self) -> Column:
        if self.type != "number" and (self.unit or self.range):
            raise ValueError("only a number has a unit and a range")
        if self.type != "category" and self.codes:
            raise ValueError("only a category has codes")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("`range` is [smallest, largest]")
        return self


class Dictionary(BaseModel):
    """The columns of every table of a study that measure the same; columns not in it are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    columns: dict[str, Column] = Field(min_length=1)

    def of_type(self, kind: str, frame: pd.DataFrame) -> tuple[str, ...]:
        """Return the columns of a table that have a type."""
        return tuple(c for c in map(str, frame.columns) if c in self.columns and self.columns[c].type == kind)

    def applied(self, frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
        """Return a table with every column in its type.

        Values out of range and codes without a meaning are left as they are: ranges and meanings are for people to
        read, and what must hold is a data-quality rule or a clinical constraint of the protocol.

        Raises
        ------
        DataProblem
            COH-083 if a column has no entry, or a cell of a number is none; the line is named, never the cell.
        """
        import pandas as pd

        made: dict[str, Any] = {}
        for name in map(str, frame.columns):
            entry = self.columns.get(name)
            if entry is None:
                raise DataProblem(
                    f"the column {name!r} is not in the data dictionary.",
                    code="COH-083",
                    where=where,
                    why="Its type and unit would have to be guessed.",
                    action="Describe it, or name it under `drop` in study.yaml.",
                )
            column = frame[name]
            if entry.type == "number":
                numbers = pd.to_numeric(column, errors="coerce").astype("float64")
                bad = (numbers.isna() & column.notna()).to_numpy(bool)
                if bad.any():
                    raise DataProblem(
                        f"{int(bad.sum())} cells of {name!r} are not numbers.",
                        code="COH-083",
                        where=f"{where}, row {int(bad.argmax()) + 1}",
                        action="Correct the cells, or the type in the data dictionary.",
                    )
                made[name] = numbers
            elif entry.type == "category":
                made[name] = column.map(_code, na_action="ignore").astype(object)
            else:
                made[name] = column
        return pd.DataFrame(made, index=frame.index)


def _code(value: Any) -> str:
    """Return a code as text; 1, 1.0 and "1" are one code."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return f"{value:.15g}"
    return str(value)


def load_dictionary(path: Path) -> Dictionary:
    """Read a data dictionary.

    Raises
    ------
    ProtocolProblem
        If the file does not follow the schema; with file:line:column.
    """
    return load_yaml_model(path, Dictionary)
