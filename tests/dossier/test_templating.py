"""No template can print a number that is not in the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.data import shipped
from validation.dossier.catalogue import catalogue
from validation.dossier.record import Record
from validation.dossier.templating import build, environment
from validation.errors import RunProblem, UsageProblem

FACTS = Record(
    {"": {"endpoints": {"E1": {"estimate": {"value": 2.5}}}, "cohort": {"n": 3, "title": "<b>Bold</b> & co"}}}
)


def _render(folder: Path, text: str, **context: object) -> str:
    (folder / "t.html.j2").write_text(text, encoding="utf-8")
    jinja = environment(folder)
    return build(lambda: jinja.get_template("t.html.j2").render(R=FACTS.node(), **context), "t.html.j2")


@pytest.mark.parametrize(
    "text",
    [
        "<p>The mean was 2.5 HU.</p>",
        "<p>{{ 2.5 }}</p>",
        "<p>{{ 'about 2.5' }}</p>",
        "<p>{{ number }}</p>",
        "<p>{% for e in R.endpoints %}{{ loop.index }}{% endfor %}</p>",
        "<p>{{ R.endpoints|length }}</p>",
        "<p>{{ '%.2f' % number }}</p>",
        "<p>{{ number ~ ' HU' }}</p>",
        "<p>{{ number|string }}</p>",
        "<p>{{ number|round }}</p>",
    ],
)
def test_number_without_id_stops_the_build(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunProblem) as caught:
        _render(tmp_path, text, number=2.5)
    assert caught.value.code in {"DOS-002", "DOS-003"}


def test_number_by_id_is_printed_with_its_id(tmp_path: Path) -> None:
    html = _render(tmp_path, "<p>{{ R.endpoints.E1.estimate.value }}</p>")
    assert 'data-id="E1.estimate.value"' in html
    assert 'href="#rec-E1.estimate.value"' in html


def test_missing_fact_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(RunProblem, match="n_patients"):
        _render(tmp_path, "<p>{{ R.cohort.n_patients }}</p>")


def test_text_of_the_record_cannot_write_html(tmp_path: Path) -> None:
    html = _render(tmp_path, "<p>{{ R.cohort.title }}</p>")
    assert "<b>" not in html
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; co" in html


def test_templates_cannot_reach_python(tmp_path: Path) -> None:
    with pytest.raises(RunProblem):
        _render(tmp_path, "<p>{{ R.__class__.__mro__ }}</p>")


def test_every_shipped_template_loads_and_every_section_has_one() -> None:
    folder = shipped("templates", "dossier")
    jinja = environment(folder)
    for name in jinja.list_templates(extensions=["j2"]):
        jinja.get_template(name)  # refuses typed numbers
    for kind in catalogue().documents.values():
        for section in kind.sections:
            assert (folder / "sections" / f"{section.template or section.id}.html.j2").is_file(), section.id


def test_every_pathway_of_a_protocol_has_a_dossier() -> None:
    from typing import get_args

    from validation.protocol.schema import Pathway

    assert set(get_args(Pathway)) == set(catalogue().pathways)
    with pytest.raises(UsageProblem, match="us_510k"):
        catalogue().pathway("us_510")
