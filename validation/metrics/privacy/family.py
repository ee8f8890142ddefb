"""The family ``tabular_privacy``: every attack and distance with its null and its finding."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from validation.metrics.findings import Finding, Part, Status, run_parts
from validation.metrics.privacy.distances import distance_findings, distances
from validation.metrics.privacy.duplicates import duplicate_findings
from validation.metrics.privacy.exchangeable import control_finding
from validation.metrics.privacy.inference import inference_findings, linkability_findings
from validation.metrics.privacy.membership import attacks, membership_findings
from validation.metrics.privacy.quasi_identifiers import quasi_findings
from validation.metrics.privacy.singling_out import singling_findings
from validation.metrics.tabular.encoding import encode, subgroup_columns, subgroups
from validation.registry import Direction, Kind, metric

_RISKS = ("attribute_inference", "linkability", "singling_out", "l_diversity", "exact_copies")
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
    only
        Names of the parts to run, such as ``exact_copies``; all of them by default.
    alpha, seed, level
        Family-wise error of the report, seed of the random attacks, level of the intervals.

    Notes
    -----
    Not flagged means that these attacks found nothing with these numbers of people. It does not mean that nobody can be
    recognised. Shadow-model attacks need the generator and are not run here.
    """
    t = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    groups = subgroups(t, subgroup_columns(t, subgroups_of))
    parts: list[Part] = [
        ("privacy_control", lambda: [control_finding(t, level=level, seed=seed)]),
        ("exact_copies", lambda: duplicate_findings(t, groups, level=level)),
        ("dcr_share", lambda: distance_findings(t, distances(t), groups, level=level)),
        ("membership_tpr", lambda: membership_findings(t, attacks(t), groups, level=level)),
        (
            "attribute_inference",
            lambda: inference_findings(t, sensitive, quasi_identifiers, groups, level=level, seed=seed),
        ),
        ("linkability", lambda: linkability_findings(t, level=level, seed=seed)),
        ("singling_out", lambda: singling_findings(t, level=level, seed=seed)),
        ("k_map", lambda: quasi_findings(t, quasi_identifiers, sensitive, level=level)),
    ]
    found = run_parts(parts, alpha=alpha, only=only)
    control = next((f for f in found if f.metric == "privacy_control"), None)
    if control is not None and control.status is Status.FLAGGED:
        why = "the holdout differs from the training population, so the attack may measure that"
        found = [
            replace(f, status=Status.INCONCLUSIVE, note="; ".join(n for n in (f.note, why) if n))
            if f.metric in _NEED_CONTROL and f.status in (Status.FLAGGED, Status.NOT_FLAGGED)
            else f
            for f in found
        ]
    return found if risk_threshold is None else found + [bound(f, risk_threshold) for f in found if f.metric in _RISKS]


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
