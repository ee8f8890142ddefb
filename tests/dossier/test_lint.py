"""What must not leave the building."""

from __future__ import annotations

import pytest

from validation.dossier.lint import lint


@pytest.mark.parametrize(
    ("body", "rule", "stops"),
    [
        ("<section id='a'><h2>A</h2><p>nan HU</p></section>", "hole", True),
        ("<p>None</p>", "hole", True),
        ("<p>TODO: write</p>", "hole", True),
        ("<section id='a'><h2>A</h2>  </section>", "empty-section", True),
        ("<a href='#nowhere'>x</a>", "dead-link", True),
        ("<p id='x'>a</p><p id='x'>b</p>", "duplicate-id", True),
        ("<p id='&lt;span data-id=1'>a</p>", "id-in-attribute", True),
        ("<img src='data:,'>", "no-alternative", True),
        ("<p>The model is FDA cleared.</p>", "status-word", False),
        ("<p>clinically validated</p>", "status-word", False),
        ("<p>as 21 CFR 820.30 asks</p>", "repealed-citation", False),
        ("<p>enables 40 % dose reduction</p>", "forbidden-wording", False),
    ],
)
def test_finds(body: str, rule: str, stops: bool) -> None:
    found = lint(f"<html><body>{body}</body></html>", forbidden=["enables X% dose reduction"])
    assert [(f.rule, f.stops) for f in found] == [(rule, stops)]


def test_plain_words_are_not_findings() -> None:
    text = "<p>None of the cases was rejected. The validation report of an information system; validation is done.</p>"
    assert lint(f"<html><body>{text}</body></html>") == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The model was tuned on validation data.", True),
        ("The validation set held 40 patients.", True),
        ("Validation of the locked protocol", False),
        ('<span class="quoted">Never call a tuning set a validation set.</span>', False),
    ],
)
def test_validation_means_what_regulators_mean(text: str, wrong: bool) -> None:
    found = lint(f"<body><section><h2>A</h2><p>{text}</p></section></body>")
    assert ("development-word" in {f.rule for f in found}) == wrong
