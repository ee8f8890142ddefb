"""Cells, gaps, ranges, the worst group, criteria, suppression, and the command."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.cli.main import main
from validation.digest import canonical_json
from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.fairness.cells import bands, declare
from validation.fairness.criteria import criteria
from validation.fairness.export import suppress
from validation.fairness.gaps import difference, extremes, ratio
from validation.fairness.measures import Measure, measures
from validation.fairness.report import fairness_report
from validation.protocol.plan_schemas import FairnessPlan
from validation.statistics.proportion_differences import proportion_difference
from validation.statistics.proportions import proportion


def frame(sizes: dict[str, int], rates: dict[str, float], seed: int = 1, per_patient: int = 1) -> pd.DataFrame:
    """Return diseased cases with a false negative rate per group."""
    rng = np.random.default_rng(seed)
    parts = [pd.DataFrame({"g": g, "d": (rng.random(n) >= rates[g]).astype(float), "y": 1.0}) for g, n in sizes.items()]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(cluster=[f"p{k // per_patient}" for k in range(len(table))])


def report_of(table: pd.DataFrame, *, metric: str = "fnr", **settings: object) -> dict[str, object]:
    plan_settings = {
        k: settings.pop(k) for k in ("margin", "minimum_clusters", "alpha", "intersections") if k in settings
    }
    plan = FairnessPlan(attributes=["g"], **plan_settings)  # type: ignore[arg-type]
    chosen = measures(
        [metric], label=table.y.to_numpy(), decision=table.d.to_numpy(), clusters=table.cluster.to_numpy()
    )
    return fairness_report(table, plan, chosen, **settings)  # type: ignore[arg-type]


def test_every_declared_cell_is_listed_also_empty_ones() -> None:
    table = pd.DataFrame({"sex": ["F", "M", "M"], "age": ["0-20", "20-", "20-"]})
    cells = declare(table, ["sex", "age"], intersections=True, levels={"sex": ["F", "M", "X"]})
    assert [c.name for c in cells if not c.mask.any()] == [
        "sex=X",
        "sex=F & age=20-",
        "sex=M & age=0-20",
        "sex=X & age=0-20",
        "sex=X & age=20-",
    ]
    assert len(cells) == 3 + 2 + 6
    r = report_of(frame({"a": 30, "b": 30}, {"a": 0.5, "b": 0.5}), levels={"g": ["a", "b", "c"]})
    empty = next(row for row in r["cells"] if row["name"] == "g=c")  # type: ignore[union-attr,index]
    assert empty["n_cases"] == 0
    assert empty["estimate"]["value"] is None
    assert empty["finding"] == "inconclusive"


def test_undeclared_levels_missing_attributes_and_too_many_cells() -> None:
    table = pd.DataFrame({"sex": ["F", None, "M"], "id": range(3)})
    with pytest.raises(DataProblem, match="not declared"):
        declare(table, ["sex"], levels={"sex": ["F"]})
    with pytest.raises(DataProblem, match="no column"):
        declare(table, ["race"])
    with pytest.raises(UsageProblem, match="3000 cells"):
        declare(pd.DataFrame({"id": range(3000)}), ["id"])
    assert bands(pd.Series([19.9, 20, 80, None]), [20, 80]).tolist() == ["<20", "20-80", "80-", np.nan]


def test_difference_is_newcombe_and_correlation_narrows() -> None:
    a, b = proportion([1] * 9 + [0] * 21), proportion([1] * 3 + [0] * 47)
    expected = proportion_difference(9, 30, 3, 50)
    found = difference(a, b)
    assert (found.lower, found.upper) == pytest.approx((expected.lower, expected.upper))
    narrow = difference(a, b, correlation=0.6)
    assert found.lower < narrow.lower < narrow.upper < found.upper  # type: ignore[operator]


def test_ratio_limits_cover() -> None:
    rng = np.random.default_rng(2)
    runs = missed = 0
    for _ in range(400):
        e = ratio(*(proportion((rng.random(60) < p).astype(float)) for p in (0.2, 0.4)))
        if e.value is None:
            continue
        runs += 1
        missed += not ((e.lower or 0) <= 0.5 <= (np.inf if e.upper is None else e.upper))
    assert missed <= stats.binom.isf(0.001, runs, 0.055)
    assert ratio(proportion([1.0]), proportion([0.0])).value is None


@pytest.mark.parametrize("per_patient", [1, 4])
def test_gaps_cover_together(per_patient: int) -> None:
    """Five groups of unequal size, one of 12 patients, all at the same rate: no gap interval may exclude zero."""
    rng = np.random.default_rng(3)
    runs, missed = 200, 0
    for k in range(runs):
        sizes = {"a": 200, "b": 100, "c": 60, "d": 40, "e": 12 * per_patient}
        table = frame(sizes, dict.fromkeys(sizes, 0.15), seed=k, per_patient=per_patient)
        if per_patient > 1:  # cases of a patient agree
            first = table.groupby("cluster")["d"].transform("first")
            table["d"] = np.where(rng.random(len(table)) < 0.7, first, table["d"])
        gaps = report_of(table)["gaps"]
        intervals = [g["estimate"] for g in gaps]  # type: ignore[union-attr,index]
        missed += any(not e["lower"] <= 0 <= e["upper"] for e in intervals)
    assert missed <= stats.binom.isf(0.001, runs, 0.055)


def _draws_estimate(draws: dict[str, np.ndarray], name: str, level: float) -> Estimate:
    return proportion(draws[name], level=level)


def test_range_covers_whichever_groups_are_the_extremes() -> None:
    rng = np.random.default_rng(4)
    truth = {"a": 0.1, "b": 0.12, "c": 0.3, "d": 0.28}
    runs, missed = 300, 0
    for _ in range(runs):
        draws = {g: (rng.random(40) < p).astype(float) for g, p in truth.items()}
        estimate = partial(_draws_estimate, draws)
        wide, proportionate = extremes(estimate, list(truth), 0.95, limits=(0.0, 1.0), with_ratio=True)
        missed += not wide.lower <= 0.2 <= wide.upper  # type: ignore[operator]
        assert proportionate is not None
    assert missed <= stats.binom.isf(0.001, runs, 0.05)


def test_one_patient_does_not_make_a_gap() -> None:
    """A cell of one case at rate 0 beside cells at 0.5: with a minimum it is inconclusive and out of the range."""
    table = pd.concat(
        [frame({"a": 150, "b": 150}, {"a": 0.5, "b": 0.5}), frame({"c": 1}, {"c": 0.0}).assign(cluster="q")]
    )
    r = report_of(table.reset_index(drop=True), metric="sensitivity", margin=0.2)
    small = next(row for row in r["cells"] if row["name"] == "g=c")  # type: ignore[union-attr,index]
    assert small["finding"] == "inconclusive"
    assert "1 patients, fewer than" in small["reason"]
    assert (small["estimate"]["lower"], small["estimate"]["upper"]) != (0.0, 0.0)
    ranges = r["ranges"][0]  # type: ignore[index]
    assert ranges["left_out"] == ["g=c"]
    assert ranges["difference"]["value"] < 0.3
    assert r["worst_group"]["sensitivity"]["outcome"] == "inconclusive"  # type: ignore[index]
    assert "g=c" in r["worst_group"]["sensitivity"]["reason"]  # type: ignore[index]


def test_worst_group_passes_fails_or_is_open() -> None:
    sizes = {"a": 4000, "b": 4000}
    alike, apart = frame(sizes, {"a": 0.1, "b": 0.1}), frame(sizes, {"a": 0.1, "b": 0.3})
    assert report_of(alike, margin=0.05)["worst_group"]["fnr"]["outcome"] == "pass"  # type: ignore[index]
    assert report_of(apart, margin=0.05)["worst_group"]["fnr"]["outcome"] == "fail"  # type: ignore[index]
    few = frame({"a": 40, "b": 40}, {"a": 0.1, "b": 0.1})
    assert report_of(few, margin=0.05)["worst_group"]["fnr"]["outcome"] == "inconclusive"  # type: ignore[index]


def test_without_a_margin_there_is_no_threshold() -> None:
    r = report_of(frame({"a": 3000, "b": 3000}, {"a": 0.1, "b": 0.5}))
    assert r["worst_group"] == {}
    assert {row["finding"] for row in r["cells"]} == {"gap_shown"}  # type: ignore[union-attr,index]


def test_worst_group_error_at_the_margin() -> None:
    """One group is worse by exactly the margin (against the rest): a pass is wrong in at most alpha / 2 of studies."""
    runs, passes = 200, 0
    for k in range(runs):
        table = frame({"a": 200, "b": 200, "c": 200}, {"a": 0.1, "b": 0.1, "c": 0.2}, seed=k)
        passes += report_of(table, margin=0.1)["worst_group"]["fnr"]["outcome"] == "pass"  # type: ignore[index]
    assert passes <= stats.binom.isf(0.001, runs, 0.025)


@pytest.mark.parametrize("reference", ["rest", "overall", "best", "g=a"])
def test_references(reference: str) -> None:
    table = frame({"a": 300, "b": 300, "c": 100}, {"a": 0.2, "b": 0.3, "c": 0.5})
    r = report_of(table, reference=reference)
    values = {row["name"]: row["estimate"]["value"] for row in r["cells"]}  # type: ignore[union-attr,index]
    gap = next(g for g in r["gaps"] if g["name"] == "g=c")  # type: ignore[union-attr,index]
    others = {
        "rest": 1 - table[table.g != "c"].d.mean(),
        "overall": 1 - table.d.mean(),
        "best": min(values.values()),
        "g=a": values["g=a"],
    }
    assert gap["estimate"]["value"] == pytest.approx(values["g=c"] - others[reference])
    assert gap["simultaneous_over"] == (2 if reference == "g=a" else 3)
    with pytest.raises(UsageProblem, match="not a declared cell"):
        report_of(table, reference="g=z")


def test_a_gap_to_overall_knows_that_the_group_is_part_of_it() -> None:
    table = frame({"a": 300, "b": 300}, {"a": 0.3, "b": 0.3})
    widths = {}
    for reference in ("rest", "overall"):
        e = report_of(table, reference=reference)["gaps"][0]["estimate"]  # type: ignore[index]
        widths[reference] = e["upper"] - e["lower"]
    assert widths["overall"] == pytest.approx(widths["rest"] / 2, rel=0.25)


def test_any_endpoint_through_its_own_estimator() -> None:
    from validation.statistics.means import mean

    rng = np.random.default_rng(5)
    table = pd.DataFrame({"g": ["x", "y"] * 60, "v": rng.normal(size=120), "cluster": range(120)})
    v = table.v.to_numpy()
    endpoint = Measure(
        name="E1", estimator=lambda m, level: mean(np.where(m, v, np.nan), level=level, unit="HU"), better="lower"
    )
    r = fairness_report(table, FairnessPlan(attributes=["g"], margin=2.0), {"E1": endpoint})
    assert r["worst_group"]["E1"]["outcome"] == "pass"
    assert r["gaps"][0]["estimate"]["unit"] == "HU"
    assert canonical_json(r)


def test_named_criteria_equal_fairlearn() -> None:
    import fairlearn.metrics as theirs

    rng = np.random.default_rng(6)
    y, d, g = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.choice(["a", "b", "c"], 300)
    table = pd.DataFrame({"g": g})
    chosen = measures(["selection_rate", "sensitivity", "fpr", "ppv"], label=y * 1.0, decision=d * 1.0)
    made = [
        fairness_report(table, FairnessPlan(attributes=["g"], alpha=a), chosen, cluster=None) for a in (0.05, 0.025)
    ]
    found = {c["criterion"]: c["difference"] for c in criteria(*made)}
    assert found["equalised_odds"]["value"] == pytest.approx(
        theirs.equalized_odds_difference(y, d, sensitive_features=g)
    )
    assert found["demographic_parity"]["value"] == pytest.approx(
        theirs.demographic_parity_difference(y, d, sensitive_features=g)
    )
    assert found["equal_opportunity"]["value"] == pytest.approx(
        theirs.equal_opportunity_difference(y, d, sensitive_features=g)
    )
    assert "predictive_parity" in found
    assert found["equalised_odds"]["level"] == pytest.approx(0.95)


def test_suppression_hides_small_cells_and_what_gives_them_away() -> None:
    table = frame({"a": 300, "b": 40, "c": 3}, {"a": 0.2, "b": 0.3, "c": 0.5})
    full = report_of(table, margin=0.2)
    hidden = suppress(full, 5)  # type: ignore[arg-type]
    rows = {row["name"]: row for row in hidden["cells"]}
    assert rows["g=c"]["n"] is None
    assert rows["g=c"]["estimate"] is None
    assert rows["g=b"]["estimate"] is None  # else 343 - 300 - 40
    assert "subtraction" in rows["g=b"]["reason"]
    assert rows["g=a"]["n"] == 300
    assert hidden["ranges"][0]["difference"] is None
    assert full["cells"][2]["n"] == 3  # type: ignore[index]
    assert suppress(report_of(frame({"a": 30, "b": 30}, {"a": 0.1, "b": 0.1})), 5)["cells"][0]["n"] == 30  # type: ignore[arg-type]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["fairness", *arguments])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out + captured.err


@pytest.fixture
def table(tmp_path: Path) -> str:
    rng = np.random.default_rng(7)
    path = tmp_path / "t.csv"
    pd.DataFrame(
        {"truth": rng.integers(0, 2, 240), "prob": rng.random(240).round(3), "sex": rng.choice(["F", "M"], 240),
         "age": rng.integers(18, 90, 240), "patient": np.repeat(np.arange(120), 2)}
    ).to_csv(path, index=False)  # fmt: skip
    return str(path)


def test_command_contract(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(
        capsys, table, "--label", "truth", "--score", "prob", "--threshold", "0.5", "--by", "sex,age", "--bands",
        "age=40,65", "--intersections", "--levels", "sex=F,M,X", "--metric", "fpr,sensitivity,auc", "--cluster",
        "patient", "--margin", "0.2", "--margin", "auc=0.1", "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == 0
    assert report["exploratory"] == "not evidence"
    assert len([r for r in report["cells"] if r["measure"] == "fpr"]) == 3 + 3 + 9
    assert {"n", "n_events", "estimate", "finding", "reason"} <= set(report["cells"][0])
    assert report["settings"]["margins"] == {"fpr": 0.2, "sensitivity": 0.2, "auc": 0.1}
    assert {c["criterion"] for c in report["criteria"]} >= {"equal_opportunity", "equalised_odds"}
    code, out = run(
        capsys, table, "--label", "truth", "--score", "prob", "--by", "sex", "--metric", "auc", "--suppress", "5"
    )
    assert code == 0
    assert "range over sex" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--metric", "fprr"], "FAIR-001"),
        (["--metric", "fpr"], "FAIR-002"),
        (["--metric", "auc", "--cluster", "nobody"], "FAIR-003"),
        (["--metric", "auc", "--levels", "sex=F"], "FAIR-003"),
        (["--metric", "auc", "--margin", "0"], "FAIR-007"),
        (["--metric", "auc", "--margin", "fpr=0.1"], "FAIR-007"),
        (["--metric", "auc", "--reference", "sex=Q"], "FAIR-006"),
        (["--metric", "auc", "--bands", "age=x"], "FAIR-007"),
    ],
)
def test_mistakes_have_one_message(
    arguments: list[str], code: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, table, "--label", "truth", "--score", "prob", "--by", "sex", *arguments)
    assert status in (2, 3)
    assert code in out
    assert "Traceback" not in out


def test_arrays_are_read_and_values_that_are_none_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(8)
    columns = {"truth": rng.integers(0, 2, 80), "score": rng.random(80), "site": rng.integers(1, 3, 80)}
    np.savez(tmp_path / "t.npz", **columns)
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    found = []
    asked = ["--label", "truth", "--score", "score", "--by", "site", "--json"]
    for name in ("t.npz", "t.csv"):
        with pytest.raises(SystemExit) as end:
            main(["fairness", str(tmp_path / name), *asked, "--threshold", "0.5", "--metric", "fpr,auc"])
        assert int(end.value.code or 0) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["cells"] == found[1]["cells"]
    with pytest.raises(SystemExit) as end:
        main(["fairness", str(tmp_path / "t.csv"), *asked, "--threshold", "nan", "--metric", "fpr"])
    assert end.value.code == 2
    columns["score"][0] = 1e300
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(SystemExit) as end:
        main(["fairness", str(tmp_path / "t.csv"), "--value", "score", "--by", "site", "--metric", "mean", "--json"])
    assert end.value.code == 3
