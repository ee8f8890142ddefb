"""All figures of one run, each drawn once and shared by every document and format."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation.digest import sha256_bytes, write_atomically
from validation.dossier.catalogue import catalogue
from validation.dossier.figures.answers import answer_plot
from validation.dossier.figures.canvas import Drawing
from validation.dossier.figures.cases import flow_diagram, levels_plot, paired_plot, spectrum_plot
from validation.dossier.figures.intervals import forest_plot, margin_plot
from validation.dossier.figures.parts import parts_plot
from validation.dossier.rounding import is_estimate
from validation.dossier.runfiles import RunFiles
from validation.errors import RunProblem
from validation.protocol.units import plural, unit_word


class Gallery:
    """Draw figures on demand.

    Parameters
    ----------
    files
        The run they are drawn from.
    shared
        Folder in which processes that print the same run share what they have drawn.
    """

    def __init__(self, files: RunFiles, shared: Path | None = None) -> None:
        self._files = files
        self._shared = shared
        self._drawn: dict[str, Drawing | None] = {}
        self._kinds = {
            "margin": self._margin,
            "forest": self._forest,
            "parts": self._parts,
            "paired": self._paired,
            "spectrum": self._spectrum,
            "levels": self._levels,
            "answer": self._answer,
            "flow": self._flow,
        }

    def drawing(self, name: str) -> Drawing:
        """Return a figure by the name it has in HTML (``margin/E1``)."""
        kind, _, subject = name.partition("/")
        if kind not in self._kinds:
            raise RunProblem(f"there is no figure of kind {kind!r}.", code="DOS-009", where=name)
        if name not in self._drawn:
            self._drawn[name] = self._draw(kind, name, subject)
        drawing = self._drawn[name]
        if drawing is None:
            raise RunProblem("the record has nothing to draw for this figure.", code="DOS-009", where=name)
        return drawing

    def _draw(self, kind: str, name: str, subject: str) -> Drawing | None:
        """Draw a figure, or take it from another process that drew it; both give the same bytes."""
        if self._shared is None:
            return self._kinds[kind](name, subject)
        path = self._shared / f"figure.{sha256_bytes(name.encode())}.json"
        if path.is_file():
            return Drawing.from_json(path.read_text(encoding="utf-8"))
        drawing = self._kinds[kind](name, subject)
        if drawing is not None:
            write_atomically(path, drawing.to_json().encode())
        return drawing

    def html(self, kind: str, subject: str) -> Markup:
        """Return a figure as HTML, or nothing where the record has nothing to draw."""
        name = f"{kind}/{subject}"
        try:
            drawing = self.drawing(name)
        except RunProblem:
            if self._drawn.get(name, ...) is None:
                return Markup("")
            raise
        frame = Markup(
            '<figure data-figure="{}"><div role="img" aria-label="{}">{}</div><figcaption>{}</figcaption></figure>'
        )
        picture = Markup(drawing.titled)  # noqa: S704 - drawn here
        return frame.format(name, drawing.alternative, picture, drawing.caption)

    def images(self, case_id: str) -> list[dict[str, str]]:
        """Return the stored pictures of a case as data URLs, with the arm each shows."""
        found = []
        for path in self._files.images(str(case_id)):
            arm = path.name[len(str(case_id)) + 1 : -4]
            source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
            found.append({"arm": arm, "source": source})
        return found

    def _endpoint(self, subject: str) -> dict[str, Any]:
        found: dict[str, Any] = self._files.record.results["endpoints"][subject]
        hypothesis = dict(found["hypothesis"])
        if not hypothesis.get("better"):
            hypothesis["better"] = {"h": "higher", "l": "lower"}.get(str(found.get("direction", ""))[:1])
        return {**found, "hypothesis": hypothesis}

    def _unit(self, unit: str) -> str:
        return catalogue().units.get(unit, unit)

    def _counts(self, estimate: dict[str, Any], endpoint: dict[str, Any]) -> str:
        clusters = estimate.get("n_clusters")
        cases = f"n = {estimate['n']} {'case' if estimate['n'] == 1 else 'cases'}"
        if clusters is None:
            return cases
        word = unit_word(self._files.record.results, endpoint)
        return f"{cases} of {clusters} {word if clusters == 1 else plural(word)}"

    def _limits(self, identifier: str, estimate: dict[str, Any]) -> str:
        printed = self._files.record.printed
        if estimate["value"] is None:
            return "not estimable"
        limits = [printed(f"{identifier}.{k}") if estimate[k] is not None else "no limit" for k in ("lower", "upper")]
        return f"{printed(f'{identifier}.value')} ({limits[0]} to {limits[1]})"

    def _sentence(self, identifier: str, endpoint: dict[str, Any]) -> str:
        estimate = endpoint["estimate"]
        if estimate["value"] is None:
            return f"Not estimable: {estimate['reason']}."
        unit = self._unit(estimate["unit"])
        level = self._files.record.printed(f"{identifier}.level")
        limits = self._limits(identifier, estimate) + (f" {unit}" if unit else "")
        return f"{limits}, {level} interval, {self._counts(estimate, endpoint)}."

    def _margin(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        text = f"{subject}, {endpoint['title']}: " + self._sentence(f"{subject}.estimate", endpoint)
        key = " Dot: estimate; bar: confidence interval"
        if endpoint["hypothesis"]["type"] != "descriptive":
            key += "; dashed: margin; shaded: where the whole interval had to lie"
        return margin_plot(
            name, endpoint, unit=self._unit(endpoint["unit"]), caption=text + key + ".", alternative=text
        )

    def _parts(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        text = f"{subject}, {endpoint['title']}: every part."
        return parts_plot(name, endpoint, unit=self._unit(endpoint["unit"]), caption=text, alternative=text)

    def _forest(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        subgroups = endpoint.get("subgroups") or {}
        if not any(subgroups.values()) or not is_estimate(endpoint["estimate"]):
            return None
        printed = self._files.record.printed
        whole = endpoint["estimate"]
        rows = [("All", self._row(whole), whole)]
        for column, levels in subgroups.items():
            test = (endpoint.get("interaction") or {}).get(column) or {}
            p = test.get("p_value")
            note = "interaction not testable"
            if p is not None:
                text = printed(f"{subject}.interaction.{column}.p_value")
                note = f"interaction p {text}" if text[0] in "<>" else f"interaction p = {text}"
            rows.append((self._column(column), note, None))
            for level, entry in levels.items():
                rows.append((f"{level}", self._row(entry["estimate"]), entry["estimate"]))
        text = f"{subject}, {endpoint['title']}, by pre-planned subgroup."
        key = " Diamond: all; squares: subgroups; bars: confidence intervals; dotted: the estimate of all"
        if endpoint["hypothesis"]["type"] != "descriptive":
            key += "; dashed: margin; shaded: favourable side"
        return forest_plot(
            name, endpoint, rows, unit=self._unit(endpoint["unit"]), caption=text + key + ".", alternative=text
        )

    def _row(self, estimate: dict[str, Any]) -> str:
        n = estimate.get("n_clusters")
        note = "not estimable, " if estimate["value"] is None else ""
        return f"{note}n = {estimate['n'] if n is None else n}"

    def _column(self, column: str) -> str:
        return column.replace("_mm", " (mm)").replace("_", " ").capitalize()

    def _paired(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        values = self._files.values(endpoint["metric_key"], endpoint.get("component", ""))
        cases, other = self._files.cases, endpoint.get("comparator")
        if values is None or cases is None or not {"output", other} <= set(values.columns):
            return None
        if "difference" not in str(endpoint.get("summary", "")):
            return None
        values = values.loc[values.index.isin(self._files.endpoint_cases(subject))].dropna(subset=["output", other])
        if len(values) < 2 or len(values) != endpoint["estimate"]["n"]:
            return None  # other cases than those of the estimate would be a different picture
        clusters = cases.set_index("case_id")["cluster"] if "case_id" in cases.columns else cases["cluster"]
        text = f"{subject}, {endpoint['title']}: difference of each case against the mean of its arms, "
        text += f"{self._counts(endpoint['estimate'], endpoint)}."
        word = unit_word(self._files.record.results, endpoint)
        key = f" Lines join cases of one {word}; band: confidence interval of the estimate."
        return paired_plot(
            name, endpoint, values, clusters, unit=self._unit(endpoint["unit"]), caption=text + key, alternative=text
        )

    def _answer(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        kind = endpoint.get("curve_kind")
        if kind is None:
            return None
        what = {
            "roc": "Receiver operating characteristic",
            "calibration": "Calibration: bins of equally many cases, bars: confidence intervals",
            "froc": "Free-response curve",
        }[kind]
        text = f"{subject}, {endpoint['title']}: {what}, {self._counts(endpoint['curve_counts'], endpoint)}."
        return answer_plot(name, endpoint, caption=text, alternative=text)

    def _spectrum(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        if endpoint.get("curve_kind"):
            return None
        text = f"{subject}, {endpoint['title']}, by arm, {self._counts(endpoint['estimate'], endpoint)}."
        return spectrum_plot(name, endpoint, caption=text + " Bands: pointwise confidence intervals.", alternative=text)

    def _levels(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        columns = {self._column(c): levels for c, levels in (endpoint.get("curves_by") or {}).items()}
        text = f"{subject}, {endpoint['title']}, by {' and '.join(c.lower() for c in columns)}."
        return levels_plot(name, endpoint, columns, caption=text, alternative=text)

    def _flow(self, name: str, subject: str) -> Drawing | None:
        cohort = self._files.record.results.get("cohort")
        if not cohort or subject != "cohort":
            return None
        text = f"Flow of cases: {cohort['n_listed']} listed, {cohort['n_eligible']} eligible, "
        text += f"{cohort['n_analysed']} analysed."
        return flow_diagram(name, cohort, caption=text, alternative=text)
