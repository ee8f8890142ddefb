"""The report of a reader study: tables and figures from the JSON of its analysis."""

from __future__ import annotations

from typing import Any

from validation.dossier.figures.canvas import (
    BLUE,
    GREY,
    INK,
    OUTCOME_COLOURS,
    VERMILLION,
    Drawing,
    finish,
    style,
    surface,
    ticks_from,
)
from validation.dossier.plain_document import Block, Heading, Paragraph, Picture, Table

_ENDPOINTS = {
    "auc": "AUC",
    "wafroc": "wAFROC area",
    "afroc": "AFROC area",
    "wafroc1": "wAFROC1 area",
    "afroc1": "AFROC1 area",
    "alroc": "area under the LROC curve",
    "partial_alroc": "partial area under the LROC curve",
    "partial_auc": "partial AUC",
    "hr_auc": "AUC of the highest rating",
    "binormal_auc": "binormal AUC",
    "proper_auc": "proper binormal AUC",
    "mean_score": "mean rating",
    "preference": "share of cases preferred",
}
_METHODS = {"or": "Obuchowski-Rockette", "dbm": "Dorfman-Berbaum-Metz", "ustat": "U-statistics"}


def study_blocks(
    analysis: dict[str, Any],
    *,
    curves: dict[str, Any],
    influence: list[dict[str, Any]],
    source: str,
    agreement: list[dict[str, Any]] | None = None,
    inferred: bool = False,
) -> list[Block]:
    """Return the report.

    Parameters
    ----------
    analysis
        The record of :meth:`validation.reader_study.analysis.Analysis.to_dict`.
    curves, influence
        From :mod:`validation.reader_study.curves`; empty where they do not apply.
    agreement
        Rows of ``modality``, ``measure`` and an estimate (``value, lower, upper, n, reason``) between the readers.
    inferred
        Whether ratings of cases were inferred from marks.
    source
        Name and SHA-256 of the data and version of the software, in words.
    """
    d, h = analysis["design"], analysis["hypothesis"]
    blocks: list[Block] = [Heading("Result")]
    for row in analysis["differences"]:
        blocks.append(
            Paragraph(
                f"{row['a']} less {row['b']}: {_n(row['estimate'])} {_interval(row, h['alpha'])}, "
                f"p = {_p(row['p_value'])} ({row['alternative']}). {_hypothesis(h)}: {row['verdict'].upper()}. "
                f"{_sentence(row['reason'])}"
            )
        )
    if not analysis["differences"]:
        blocks.append(Paragraph("The study has one modality; there is no difference to test."))
    blocks += _several(analysis)
    blocks += [
        Heading("Design and method"),
        Paragraph(
            f"{d['type'].replace('_', ' ').capitalize()} design: {d['n_readers']} readers, "
            f"{d['n_modalities']} modalities, {d['n_negative']} non-diseased and {d['n_positive']} diseased cases; "
            f"{d['missing_cells']} of {d['cells']} cells were not read. "
            f"{d['scale'].capitalize()} ratings with {d['levels']} levels; "
            f"{100 * d['tied_share']:.1f} % of the pairs of a diseased and a non-diseased case were tied."
        ),
        Paragraph(
            f"Endpoint: {endpoint_words(analysis)}. Method: {_METHODS.get(analysis['method'], analysis['method'])}; "
            f"covariance: {analysis['covariance']}; {analysis['effects']}."
        ),
        Paragraph(analysis["convention"]),
        *(Paragraph(f"Note: {_sentence(text)}") for text in analysis["warnings"]),
        Heading("Estimates"),
        Table(
            f"Average over readers, with {_level(h['alpha'])} intervals",
            ("Modality", "Estimate", "Standard error", "Interval"),
            [(r["modality"], _n(r["estimate"]), _n(r["se"]), _limits(r)) for r in analysis["modalities"]],
            numbers=(1, 2, 3),
        ),
        Table(
            "Each reader, with intervals over cases (normal law)",
            ("Reader", "Modality", "Estimate", "Interval"),
            [(r["reader"], r["modality"], _n(r["estimate"]), _limits(r)) for r in analysis["readers"]],
            numbers=(2, 3),
        ),
    ]
    if curves:
        blocks += [Heading("ROC curves"), Picture(roc_figure(curves, inferred=inferred))]
    if analysis["reader_differences"]:
        blocks += [Heading("Differences by reader"), Picture(forest(analysis))]
    blocks += _components(analysis)
    if influence:
        changed = [row["left_out"] for row in influence if row["changes_verdict"]]
        blocks += [
            Heading("Influence of each reader"),
            Paragraph(
                "The conclusion would be another one without "
                f"{'reader' if len(changed) == 1 else 'one of the readers'} {', '.join(changed)}."
                if changed
                else "No conclusion changes when any one reader is left out."
            ),
            Table(
                "The difference without each reader; no reader is left out of the analysis",
                ("Left out", "Difference", "Estimate", "Interval", "Conclusion"),
                [
                    (
                        r["left_out"],
                        f"{r['a']} less {r['b']}",
                        _n(r["estimate"]),
                        _limits(r),
                        r["reason"] or r["verdict"],
                    )
                    for r in influence
                ],
                numbers=(2, 3),
            ),
        ]
    blocks += _agreement(agreement or [])
    blocks += _checks(analysis)
    return [*blocks, Heading("Source"), Paragraph(source)]


def _several(analysis: dict[str, Any]) -> list[Block]:
    """Return how several differences were adjusted, and intervals that hold together."""
    found = analysis["multiplicity"]
    if found["differences"] < 2:
        return []
    method = (
        "p-values are adjusted by Holm's method, and the verdicts rest on the adjusted ones"
        if found["method"] == "holm"
        else "they are not adjusted for multiplicity, so that each verdict stands for itself alone"
    )
    rows: list[tuple[str, ...]] = [
        (
            f"{d['a']} less {d['b']}",
            _n(d["estimate"]),
            _p(d["p_value"]),
            _p(d["p_adjusted"]),
            _limits(wide),
            d["verdict"],
        )
        for d, wide in zip(analysis["differences"], found["simultaneous"], strict=True)
    ]
    return [
        Paragraph(f"{found['differences']} differences are tested; {method}."),
        Table(
            f"All differences; the intervals hold together at {_level(found['alpha'])} (Bonferroni)",
            ("Difference", "Estimate", "p", "p adjusted", "Simultaneous interval", "Verdict"),
            rows,
            numbers=(1, 2, 3, 4),
        ),
    ]


def _agreement(rows: list[dict[str, Any]]) -> list[Block]:
    """Return how far the readers agree, whatever the truth."""
    if not rows:
        return []
    return [
        Heading("Agreement between readers"),
        Table(
            "Agreement of the ratings of a case, by modality, with 95 % intervals over cases",
            ("Modality", "Measure", "Estimate", "Interval", "Cases"),
            [
                (
                    r["modality"],
                    r["measure"],
                    _n(r["value"]),
                    _limits(r) if r["value"] is not None else r["reason"],
                    str(r["n"]),
                )
                for r in rows
            ],
            numbers=(2, 3, 4),
        ),
    ]


def _checks(analysis: dict[str, Any]) -> list[Block]:
    """Return the checks that authorities ask for."""
    if not analysis["checks"]:
        return []
    return [
        Heading("Checks that authorities ask for"),
        Paragraph("A check that is not stated is an open point: neither the data nor the settings tell."),
        Table(
            "Checks of data and settings",
            ("Check", "Source", "Status", "Detail"),
            [(row["check"], row["source"], row["status"], row["detail"]) for row in analysis["checks"]],
        ),
    ]


def roc_figure(curves: dict[str, Any], *, inferred: bool = False) -> Drawing:
    """Draw the ROC curves: one panel per modality, thin lines for readers, the average with its band."""
    names = list(curves)
    with style("roc"):
        figure, axes = surface(2.6 if len(names) < 3 else 2.4, columns=len(names), squeeze=False, sharey=True)
        for axis, name in zip(axes[0], names, strict=True):
            for line in curves[name]["readers"].values():
                axis.plot(line["fpf"], line["tpf"], color=GREY, linewidth=0.7, alpha=0.8)
            mean = curves[name]["average"]
            if mean["lower"] is not None:
                axis.fill_between(mean["fpf"], mean["lower"], mean["upper"], color=BLUE, alpha=0.18, linewidth=0)
            axis.plot(mean["fpf"], mean["tpf"], color=BLUE, linewidth=1.8)
            axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
            axis.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", title=name, xlabel="1 − specificity")
        axes[0][0].set_ylabel("sensitivity")
        counts = ", ".join(f"{name}: {len(curves[name]['readers'])}" for name in names)
        return finish(
            figure,
            caption=("ROC curves inferred from marks: a case counts with its highest mark. " if inferred else "")
            + "Empirical ROC curves. Thin lines: readers. Thick line: average sensitivity over readers. "
            "Band: pointwise 95 %, from resampling readers and cases.",
            alternative=f"ROC curves of the readers and their average, per modality (number of readers, {counts}).",
        )


def forest(analysis: dict[str, Any]) -> Drawing:
    """Draw the difference of each reader and of the average, with intervals and the margin."""
    rows: list[tuple[str, dict[str, Any], str]] = []
    for difference in analysis["differences"]:
        a, b = difference["a"], difference["b"]
        own = [r for r in analysis["reader_differences"] if (r["a"], r["b"]) == (a, b)]
        own = own or [r for r in analysis["reader_differences"] if r["a"] == a]
        rows += [(r["reader"], r, GREY) for r in own]
        rows.append((f"{a} less {b}", difference, OUTCOME_COLOURS.get(difference["verdict"], INK)))
    with style("reader-forest"):
        figure, axis = surface(max(1.8, 0.6 + 0.2 * len(rows)))
        for y, (_, row, colour) in enumerate(rows):
            if row["estimate"] is None:
                continue
            if row["lower"] is not None:
                axis.plot([row["lower"], row["upper"]], [y, y], color=colour, linewidth=1.4)
            axis.plot(row["estimate"], y, "o" if colour == GREY else "D", color=colour, markersize=4.5)
        axis.axvline(0, color=INK, linewidth=0.7)
        hypothesis = analysis["hypothesis"]
        margins = {"non_inferiority": (-1,), "equivalence": (-1, 1), "superiority": (1,)}[hypothesis["type"]]
        if hypothesis["margin"] > 0:
            for sign in margins:
                axis.axvline(sign * hypothesis["margin"], color=VERMILLION, linewidth=0.9, linestyle="--")
        ticks_from(axis, [name for name, _, _ in rows])
        axis.set_xlabel(f"difference of {endpoint_words(analysis)}")
        return finish(
            figure,
            caption="Differences with intervals: circles, single readers (over cases); diamonds, average over readers. "
            "Dashed: margin, if there is one.",
            alternative="Forest plot of the differences of "
            + "; ".join(f"{name} {_n(row['estimate'])}" for name, row, _ in rows),
        )


def endpoint_words(analysis: dict[str, Any]) -> str:
    """Return the endpoint in words."""
    name = str(analysis["endpoint"])
    return _ENDPOINTS.get(name, name.replace("_", " "))


def _part(name: str) -> str:
    """Return the name of a component as it is written in the field."""
    if name.startswith("var_"):
        return "variance: " + name[4:].replace("_", " by ")
    for stem, word in (("cov", "Cov"), ("correlation", "correlation ")):
        if name.startswith(stem) and name.removeprefix(stem).isdigit():
            return word + name.removeprefix(stem)
    return name.replace("_", " ")


def _components(analysis: dict[str, Any]) -> list[Block]:
    """Return the components of variance as far as they are single numbers."""
    parts = {k: v for k, v in analysis["components"].items() if not isinstance(v, list)}
    blocks: list[Block] = []
    if parts:
        rows: list[tuple[str, ...]] = [(_part(k), _e(v)) for k, v in parts.items()]
        blocks += [
            Heading("Components of variance"),
            Table("Components of variance and covariances (correlations without unit)", ("Part", "Value"), rows, (1,)),
        ]
    tables = [t for t in analysis["components"].get("tables", []) if t["estimator"] == "U-statistic"]
    if tables:
        names = list(tables[0]["components"])
        cells: list[tuple[str, ...]] = [
            (t["a"] + (f" with {t['b']}" if t["b"] else ""), *(_e(t["components"][n]) for n in names)) for t in tables
        ]
        blocks += [
            Heading("Components of variance"),
            Table(
                "U-statistic components: readers R, non-diseased N and diseased D cases",
                ("Modalities", *names),
                cells,
                tuple(range(1, len(names) + 1)),
            ),
        ]
    return blocks


def _hypothesis(h: dict[str, Any]) -> str:
    words = {"superiority": "Superiority", "non_inferiority": "Non-inferiority", "equivalence": "Equivalence"}
    return words[h["type"]] + (f" with margin {h['margin']:g}" if h["margin"] else "")


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _level(alpha: float) -> str:
    return f"{100 * (1 - alpha):g} %"


def _interval(row: dict[str, Any], alpha: float) -> str:
    return f"({_level(alpha)} interval {_limits(row)})" if row["lower"] is not None else "(no interval)"


def _limits(row: dict[str, Any]) -> str:
    return "not estimable" if row["lower"] is None else f"{_n(row['lower'])} to {_n(row['upper'])}"


def _n(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.4f}".replace("-", "−")


def _p(value: float | None) -> str:
    return "not defined" if value is None else "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _e(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}".replace("-", "−")
