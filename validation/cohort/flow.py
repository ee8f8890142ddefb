"""From listed to analysed: who is excluded by the protocol, who cannot be read, and which covariates are missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from validation.cohort.open import Cohort
from validation.errors import DataProblem
from validation.protocol.expressions import column_names, decide

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The flow of cases (STARD 2015 item 19, CONSORT).

    ``eligible`` satisfy the protocol and can be read. ``exclusions`` and ``rejections`` map a case id to the reason;
    a case that is certainly not eligible is excluded even if it cannot be read. ``n_listed`` is the sum of the three.
    Rejected cases are eligible as far as is known, so the worst-case analysis counts them as failures.
    """

    n_listed: int
    eligible: tuple[str, ...]
    exclusions: dict[str, str]
    rejections: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and lists for ``results.json`` (``n_eligible`` includes rejected cases)."""
        return {
            "n_listed": self.n_listed,
            "n_eligible": len(self.eligible) + len(self.rejections),
            "n_excluded": len(self.exclusions),
            "n_rejected": len(self.rejections),
            "exclusions": [{"case_id": c, "reason": r} for c, r in sorted(self.exclusions.items())],
            "rejections": [{"case_id": c, "reason": r} for c, r in sorted(self.rejections.items())],
        }


def case_flow(cohort: Cohort, eligibility: str | None, where: str = "population.eligibility") -> Flow:
    """Apply the eligibility expression to every listed case.

    Parameters
    ----------
    cohort
        An open cohort.
    eligibility
        Expression over its columns, ``None`` if every listed case is eligible.
    where
        Place named in an error of the expression.

    Raises
    ------
    ProtocolProblem
        If the expression is not permitted or uses an unknown column.
    DataProblem
        If no case is left (COH-030).
    """
    rejections = dict(cohort.rejections)
    exclusions: dict[str, str] = {}
    if eligibility is None:
        eligible = tuple(cohort.cases.index)
    else:
        import pandas as pd

        listed = cohort.listed
        answers = decide(listed, eligibility, where)
        used = list(column_names(eligibility, where))
        for case_id in listed.index[(answers.isna() | ~answers.fillna(True)).to_numpy(dtype=bool)]:
            if not pd.isna(answers[case_id]):
                exclusions[case_id] = f"does not satisfy: {eligibility}"
            elif case_id not in rejections:
                missing = [c for c in used if bool(listed.loc[[case_id], c].isna().all())]
                exclusions[case_id] = f"eligibility cannot be decided: no value of {', '.join(missing) or 'it'}"
        rejections = {c: r for c, r in rejections.items() if c not in exclusions}
        eligible = tuple(c for c in cohort.cases.index if c not in exclusions)
    if not eligible:
        raise DataProblem(
            f"none of the {cohort.n_listed} listed cases is eligible and readable.",
            code="COH-030",
            where=where,
            why="There is nothing to evaluate.",
            action="Check the eligibility expression against the case table.",
        )
    return Flow(n_listed=cohort.n_listed, eligible=eligible, exclusions=exclusions, rejections=rejections)


def missing_covariates(cases: pd.DataFrame, columns: Iterable[str]) -> dict[str, dict[str, float | int]]:
    """Count cases without a value, per column; a column that the table lacks is missing for every case.

    Returns
    -------
    dict
        ``{column: {"n_missing", "n", "share"}}``, columns in the given order.

    Examples
    --------
    >>> import pandas as pd
    >>> missing_covariates(pd.DataFrame({"sex": ["F", None]}), ["sex", "kvp"])
    {'sex': {'n_missing': 1, 'n': 2, 'share': 0.5}, 'kvp': {'n_missing': 2, 'n': 2, 'share': 1.0}}
    """
    n = len(cases)
    found: dict[str, dict[str, float | int]] = {}
    for column in dict.fromkeys(columns):
        n_missing = int(cases[column].isna().sum()) if column in cases.columns else n
        found[column] = {"n_missing": n_missing, "n": n, "share": n_missing / n if n else 0.0}
    return found
