"""Multiplicity: which confirmatory criteria are shown with the family-wise error under control, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from validation.errors import ProtocolProblem
from validation.estimate import Outcome, Verdict
from validation.statistics.hypotheses import number

Within = Literal["holm", "bonferroni"]


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """What a multiplicity procedure came to.

    Parameters
    ----------
    p_adjusted
        Adjusted one-sided p-value of each endpoint: the smallest family-wise alpha at which it is shown. ``None`` for
        one without a p-value or outside the plan.
    rejected
        Whether the null hypothesis of each endpoint is rejected, that is, the criterion shown.
    joint_p
        For ``all_required``, the p-value of the claim that all hold: the largest. Else ``None``.
    steps
        The procedure in sentences, in the order of its decisions.
    """

    method: str
    alpha: float
    p_adjusted: dict[str, float | None]
    rejected: dict[str, bool]
    joint_p: float | None = None
    steps: list[str] = field(default_factory=list)

    def verdict(self, endpoint: str, verdict: Verdict) -> Verdict:
        """Return the endpoint's verdict with its adjusted p-value; a pass that does not survive is inconclusive."""
        adjusted = self.p_adjusted.get(endpoint)
        if verdict.outcome is not Outcome.PASS or self.rejected.get(endpoint, False):
            return replace(verdict, p_adjusted=adjusted)
        why = (
            f"the adjusted p-value, {number(adjusted)}, is larger than {number(self.alpha)}"
            if adjusted is not None
            else "it is not part of the testing plan"
        )
        reason = f"{verdict.reason} This alone does not count: under {_title(self.method)}, {why}."
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason, p_adjusted=adjusted)


def adjust(
    p_values: Mapping[str, float | None],
    method: str,
    order: Sequence[str] = (),
    gates: Sequence[Sequence[str]] = (),
    alpha: float = 0.025,
    *,
    within: Within = "holm",
) -> Adjusted:
    """Control the family-wise error over confirmatory endpoints.

    - ``none``: each at alpha, no control. ``all_required``: each at alpha, and the claim stands only if all are shown;
      an intersection-union test needs no adjustment.
    - ``fixed_sequence``: each at alpha in ``order`` until the first that is not shown.
    - ``bonferroni``, ``holm``, ``hommel``: Hommel's is valid for independent or positively dependent tests.
    - ``gatekeeping``: families in ``gates``, each at alpha by ``within`` (Holm or Bonferroni); a family is
      tested only if all of the families before it are shown completely (serial gatekeeping).

    Parameters
    ----------
    p_values
        One-sided p-value of each endpoint; ``None`` (no interval, too little data) is never rejected, counts as 1,
        and still takes its place in the family.
    method, order, gates
        As in the protocol.
    alpha
        One-sided family-wise error.

    Raises
    ------
    ProtocolProblem
        STAT-002 for an unknown method, or an order or gates that name an endpoint twice or one without a result.

    References
    ----------
    Holm 1979 (Scand J Stat 6:65-70); Hommel 1988, doi:10.1093/biomet/75.2.383; Westfall and Krishen 2001
    (serial gatekeeping), doi:10.1016/S0378-3758(01)00077-5; FDA 2022, Multiple Endpoints in Clinical Trials.

    Examples
    --------
    >>> adjust({"E1": 0.01, "E2": 0.02, "E3": 0.015}, "holm", alpha=0.025).p_adjusted
    {'E1': 0.03, 'E2': 0.03, 'E3': 0.03}
    >>> adjust({"E1": 0.2, "E2": 0.001}, "fixed_sequence", order=["E1", "E2"]).rejected
    {'E1': False, 'E2': False}
    """
    ps = {name: 1.0 if p is None else float(p) for name, p in p_values.items()}
    families = _families(ps, method, order, gates)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    steps: list[str] = []
    barrier = 0.0  # the largest adjusted p-value of all families before this one
    blocked = ""
    for position, family in enumerate(families):
        inner = {"gatekeeping": within, "fixed_sequence": "none"}.get(method, method)
        own = _within_family({name: ps[name] for name in family}, inner)
        for name in family:
            adjusted[name] = max(barrier, own[name])
            steps.append(_step(name, p_values[name], adjusted[name], alpha, method, blocked))
        serial = method in ("fixed_sequence", "gatekeeping")
        if serial:
            barrier = max(barrier, *own.values(), 0.0) if own else barrier
            missed = [name for name in family if (adjusted[name] or 0.0) > alpha]
            if missed and not blocked:
                blocked = " and ".join(missed)
            if method == "gatekeeping" and not missed:
                steps.append(f"Family {position + 1} is shown completely; the next family, if any, is tested.")
    for name in p_values:
        if not any(name in family for family in families):
            steps.append(f"{name}: not part of the testing plan; reported without a confirmatory claim.")
    rejected = {name: p is not None and p <= alpha and p_values[name] is not None for name, p in adjusted.items()}
    for name, p in p_values.items():
        if p is None:
            adjusted[name] = None
    joint = None
    if method == "all_required" and ps:
        joint = None if any(p is None for p in p_values.values()) else max(ps.values())
        unmet = [name for name, hit in rejected.items() if not hit]
        steps.append(
            f"All {len(ps)} criteria must be shown, each at {number(alpha)}: "
            + (f"not shown: {', '.join(unmet)}." if unmet else "they are.")
        )
    return Adjusted(method=method, alpha=alpha, p_adjusted=adjusted, rejected=rejected, joint_p=joint, steps=steps)


def _families(
    ps: Mapping[str, float], method: str, order: Sequence[str], gates: Sequence[Sequence[str]]
) -> list[list[str]]:
    if method not in ("none", "all_required", "fixed_sequence", "bonferroni", "holm", "hommel", "gatekeeping"):
        raise ProtocolProblem(f"there is no multiplicity method named {method!r}.", code="STAT-002")
    if method == "fixed_sequence":
        families = [[name] for name in order]
    elif method == "gatekeeping":
        families = [list(gate) for gate in gates if gate]
    else:
        return [list(ps)]
    named = [name for family in families for name in family]
    if len(set(named)) != len(named) or set(named) - set(ps):
        raise ProtocolProblem(
            f"the {_title(method)} names an endpoint twice, or one that has no result: {named}.",
            code="STAT-002",
            action="Name each confirmatory endpoint once.",
        )
    return families


def _within_family(ps: dict[str, float], method: str) -> dict[str, float]:
    """Return adjusted p-values inside one family."""
    if method in ("none", "all_required") or len(ps) < 2:
        return dict(ps)
    m = len(ps)
    if method == "bonferroni":
        return {name: min(1.0, m * p) for name, p in ps.items()}
    if method == "holm":
        result, running = {}, 0.0
        for rank, name in enumerate(sorted(ps, key=lambda k: ps[k])):
            running = max(running, min(1.0, (m - rank) * ps[name]))
            result[name] = running
        return {name: result[name] for name in ps}
    from statsmodels.stats.multitest import multipletests  # slow to import

    corrected = multipletests(list(ps.values()), method="hommel")[1]
    return {name: min(1.0, float(p)) for name, p in zip(ps, corrected, strict=True)}


def _step(name: str, p: float | None, adjusted: float | None, alpha: float, method: str, blocked: str) -> str:
    if p is None:
        return f"{name}: no p-value (too little data or no interval); not shown."
    if blocked:
        return f"{name}: not tested, because {blocked} before it is not shown."
    value = adjusted if adjusted is not None else 1.0
    told = f"p = {number(p)}" + ("" if value == p else f", adjusted {number(value)}")
    return f"{name}: {told}, {'at most' if value <= alpha else 'larger than'} {number(alpha)}; " + (
        "shown." if value <= alpha else "not shown."
    )


def _title(method: str) -> str:
    return {
        "none": "no multiplicity control",
        "all_required": "the rule that all criteria must be shown",
        "fixed_sequence": "the fixed testing sequence",
        "bonferroni": "Bonferroni's procedure",
        "holm": "Holm's procedure",
        "hommel": "Hommel's procedure",
        "gatekeeping": "the gatekeeping procedure",
    }[method]
