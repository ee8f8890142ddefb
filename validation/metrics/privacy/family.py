"""The family ``tabular_privacy``: every attack and distance with its null and its finding."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Part, Status, run_parts
from validation.metrics.privacy.distances import distance_findings, distances
from validation.metrics.privacy.duplicates import duplicate_findings
from validation.metrics.privacy.exchangeable import control_finding, inconclusive_if_shifted
from validation.metrics.privacy.inference import inference_findings, linkability_findings
from validation.metrics.privacy.membership import attacks, membership_findings
from validation.metrics.privacy.quasi_identifiers import quasi_findings
from validation.metrics.privacy.shadow import SHADOWS, shadow_findings
from validation.metrics.privacy.singling_out import singling_findings
from validation.metrics.tabular.encoding import encode, subgroup_columns, subgroups
from validation.registry import Direction, Kind, metric

_RISKS = ("k_map", "attribute_inference", "linkability", "singling_out", "l_diversity", "exact_copies")
_NEED_CONTROL = (
    "dcr_share",
    "nndr",
    "membership_auc",
    "membership_tpr",
    "attribute_inference",
    "linkability",
    "singling_out",
    "k_map",
    "l_diversity",
)


@metric(
    "tabular_privacy",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="family",
    reference="Pilgram et al. 2025, arXiv:2503.04980; each metric its own",
    oracle="each metric its own",
)
def tabular_privacy(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    subgroups_of: tuple[str, ...] = (),
    quasi_identifiers: tuple[str, ...] = (),
    sensitive: tuple[str, ...] = (),
    risk_threshold: float | None = None,
    generator: str = "",
    shadows: int = SHADOWS,
    epsilon: float | None = None,
    delta: float = 0.0,
    claimed_by: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    only: tuple[str, ...] = (),
    level: float = 0.95,
) -> list[Finding]:
    """Run every privacy metric of a synthetic table and say of each whether it is flagged.

    The holdout is the privacy control: people of the same population as the training records, not trained on. Every
    attack
    is judged by how much better it does on training people (exact or relabelling null), Holm over the whole report.
    Where training and holdout can be told apart by themselves, attacks are inconclusive: they would measure the shift.
    Without a holdout everything that needs one is inconclusive.

    Parameters
    ----------
    train, synthetic, holdout
        One row per patient. The training table is never sampled.
    quasi_identifiers
        Columns an attacker may know (default: demographic columns by name for k-map; all other columns for inference).
    sensitive
        Columns an attacker wants (default: the last two categorical ones).
    risk_threshold
        Largest acceptable risk, such as 0.09 (European Medicines Agency, Policy 0070, for public release). Each
        control-adjusted risk's upper limit is compared with it, per subgroup: below is not flagged, a lower limit above
        is flagged, anything between is inconclusive.
    generator, shadows
        Function ``package.module:function`` that trains the generator again, and how many shadow models it trains (see
        ``shadow_membership``); without it the shadow attack is inconclusive.
    epsilon, delta, claimed_by
        Differential privacy that the maker of the model claims. It is recorded as a claim of theirs; nothing here
        verifies it, and it never decides a finding.
    only
        Names of the parts to run, such as ``exact_copies``; all of them by default.
    alpha, seed, level
        Family-wise error of the report, seed of the random attacks, level of the intervals.

    Notes
    -----
    Not flagged means that these attacks found nothing with these numbers of people. It does not mean that nobody can be
    recognised.
    """
    t = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    groups = subgroups(t, subgroup_columns(t, subgroups_of))
    parts: list[Part] = [
        ("privacy_control", lambda: [control_finding(t, level=level, seed=seed)]),
        ("exact_copies", lambda: duplicate_findings(t, groups, level=level)),
        ("dcr_share", lambda: distance_findings(t, distances(t), groups, level=level)),
        ("membership_tpr", lambda: membership_findings(attacks(t), groups, n=t.train.n, level=level)),
        (
            "attribute_inference",
            lambda: inference_findings(t, sensitive, quasi_identifiers, groups, level=level, seed=seed),
        ),
        ("linkability", lambda: linkability_findings(t, groups, level=level, seed=seed)),
        ("singling_out", lambda: singling_findings(t, groups, level=level, seed=seed)),
        (
            "shadow_attack",
            lambda: shadow_findings(
                train,
                holdout,
                synthetic,
                groups,
                generator=generator,
                shadows=shadows,
                seed=seed,
                level=level,
                categorical=categorical,
                ignore=ignore,
            ),
        ),
        ("k_map", lambda: quasi_findings(t, quasi_identifiers, sensitive, groups, level=level)),
    ]
    if epsilon is not None:
        parts.append(
            (
                "differential_privacy_claim",
                lambda: [claim_finding(epsilon, delta, claimed_by, n=t.train.n, level=level)],
            )
        )
    found = inconclusive_if_shifted(run_parts(parts, alpha=alpha, only=only), _NEED_CONTROL.__contains__)
    return found if risk_threshold is None else found + [bound(f, risk_threshold) for f in found if f.metric in _RISKS]


def claim_finding(epsilon: float, delta: float, claimed_by: str, *, n: int, level: float) -> Finding:
    """Record a claim of differential privacy as what it is: a statement of the model's maker.

    Raises
    ------
    UsageProblem
        TAB-007 if epsilon is not a positive number or delta not in 0..1.
    """
    if not (math.isfinite(epsilon) and epsilon > 0 and 0 <= delta < 1):
        raise UsageProblem(
            f"a claim of differential privacy has epsilon above 0 and delta in 0..1, not {epsilon:g} and {delta:g}.",
            code="TAB-007",
            where="--param epsilon",
        )
    who = claimed_by or "somebody who is not named"
    why = f"stated by {who} (epsilon {epsilon:g}, delta {delta:g}); recorded, not verified here"
    return Finding(
        metric="differential_privacy_claim",
        estimate=Estimate(
            value=epsilon,
            lower=None,
            upper=None,
            method="claimed epsilon",
            n=n,
            unit="1",
            level=level,
            reason="a claim, not an estimate",
        ),
        null="none",
        rule="a claim is recorded and decides nothing",
        direction=Direction.LOWER.value,
        decided=Status.INCONCLUSIVE,
        note=why,
        reference="Dwork and Roth 2014, doi:10.1561/0400000042",
    )


def bound(finding: Finding, threshold: float) -> Finding:
    """Return the comparison of a risk's interval with the user's threshold."""
    e = finding.estimate
    if e.lower is None or e.upper is None or finding.status is Status.ERROR:
        status, note = Status.INCONCLUSIVE, "no interval to compare: " + (e.reason or finding.note)
    elif e.upper <= threshold:
        status, note = Status.NOT_FLAGGED, f"upper limit {e.upper:.4g} is at most {threshold:g}"
    elif e.lower > threshold:
        status, note = Status.FLAGGED, f"lower limit {e.lower:.4g} is above {threshold:g}"
    else:
        status, note = Status.INCONCLUSIVE, f"the interval {e.lower:.4g} to {e.upper:.4g} holds {threshold:g}"
    return replace(
        finding,
        metric="risk_bound",
        component=" ".join(x for x in (finding.metric, finding.component) if x),
        status=status,
        note=note,
        p_value=None,
        p_adjusted=None,
        null=f"threshold {threshold:g} of the user",
        ceiling=None,
        rows=(),
        rule="not flagged only if the upper limit is at most the threshold",
    )
