"""All figures of one run, each drawn once and shared by every document and format."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from validation.dossier.catalogue import catalogue
from validation.dossier.figures.canvas import Drawing
from validation.dossier.figures.intervals import margin_plot
from validation.dossier.runfiles import RunFiles
from validation.errors import RunProblem


class Gallery:
    """Draw figures on demand.

    Parameters
    ----------
    files
        The run they are drawn from.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._drawn: dict[str, Drawing | None] = {}
        self._kinds: dict[str, Callable[[str, str], Drawing | None]] = {
            "margin": self._margin,
        }

    def drawing(self, name: str) -> Drawing:
        """Return a figure that was drawn, by the name it has in HTML (``margin/E1``)."""
        drawing = self._drawn[name]
        if drawing is None:
            raise KeyError(name)
        return drawing

    def html(self, kind: str, subject: str) -> Markup:
        """Return a figure as HTML, or nothing where the record has nothing to draw."""
        if kind not in self._kinds:
            raise RunProblem(f"there is no figure of kind {kind!r}.", code="DOS-009", where=f"{kind}/{subject}")
        name = f"{kind}/{subject}"
        if name not in self._drawn:
            self._drawn[name] = self._kinds[kind](name, str(subject))
        drawing = self._drawn[name]
        if drawing is None:
            return Markup("")
        return Markup(
            '<figure data-figure="{}" role="img" aria-label="{}">{}<figcaption>{}</figcaption></figure>'
        ).format(
            name,
            drawing.alternative,
            Markup(drawing.svg),  # noqa: S704 - drawn here
            drawing.caption,
        )

    def images(self, case_id: str) -> list[dict[str, str]]:
        """Return the stored pictures of a case as data URLs, with the arm each shows."""
        found = []
        for path in self._files.images(str(case_id)):
            arm = path.name[len(str(case_id)) + 1 : -4]
            found.append(
                {"arm": arm, "source": "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()}
            )
        return found

    def _endpoint(self, subject: str) -> dict[str, Any]:
        found: dict[str, Any] = self._files.record.results["endpoints"][subject]
        return found

    def _unit(self, unit: str) -> str:
        return catalogue().units.get(unit, unit)

    def _count(self, estimate: dict[str, Any]) -> str:
        clusters = estimate.get("n_clusters")
        return f"n = {estimate['n']} cases" + (f" of {clusters} patients" if clusters is not None else "")

    def _margin(self, name: str, subject: str) -> Drawing | None:
        endpoint = self._endpoint(subject)
        printed = self._files.record.printed
        text = f"{subject}: {endpoint['title']}. " + self._sentence(f"{subject}.estimate", endpoint["estimate"])
        caption = f"{text} Dot: estimate; bar: confidence interval" + (
            "; dashed line: margin; shaded: the side on which the whole interval must lie."
            if endpoint["hypothesis"]["type"] != "descriptive"
            else "."
        )
        del printed
        return margin_plot(name, endpoint, unit=self._unit(endpoint["unit"]), caption=caption, alternative=text)

    def _sentence(self, identifier: str, estimate: dict[str, Any]) -> str:
        printed = self._files.record.printed
        if estimate["value"] is None:
            return f"Not estimable: {estimate['reason']}."
        limits = " to ".join(
            printed(f"{identifier}.{k}") if estimate[k] is not None else "no limit" for k in ("lower", "upper")
        )
        return (
            f"{printed(f'{identifier}.value')} {self._unit(estimate['unit'])}".rstrip()
            + f" ({printed(f'{identifier}.level')} CI {limits}), {self._count(estimate)}."
        )
