"""Every bad protocol file gets one clear sentence with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.errors import ProtocolProblem
from validation.protocol.load import load_protocol
from validation.protocol.schema import Protocol

GOOD = """\
schema: 1
id: demo
version: 1.0.0
title: A protocol for tests
claim:
  type: low_dose_denoising
  statement: Reduces noise in simulated CT images of adults.
  pathways: [us_510k]
  hazards:
    - {id: H-01, description: A low-contrast lesion is smoothed away}
population:
  description: Adults undergoing simulated chest CT
  subgroups: [sex]
reference_standard: {method: paired full-dose scan}
endpoints:
  - id: E1
    role: primary
    title: Noise
    metric: {name: noise_magnitude, region: uniform}
    summary: paired_mean_difference
    comparator: input
    hypothesis: {type: superiority, margin: -3.0, unit: HU}
    hazards: [H-01]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "protocol.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_good_protocol_loads(tmp_path: Path) -> None:
    protocol = load_protocol(write(tmp_path, GOOD))
    assert protocol.endpoint("E1").metric.key() == "noise_magnitude(region=uniform)"
    assert protocol.endpoint("E1").hypothesis.margin == -3.0


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("  subgroups: [sex]", "  subgroup: [sex]", ":13:3", "did you mean 'subgroups'"),
        ("    summary:", "    sumary:", ":20:5", "did you mean 'summary'"),
        ("type: low_dose_denoising", "type: low_dose_denoise", ":6:3", "Did you mean 'low_dose_denoising'"),
        ("type: superiority, margin: -3.0", "type: non_inferiority, margin: -3.0", ":22:5", "wrong sign"),
        ("type: superiority, margin: -3.0", "type: equivalence, margin: -3.0", ":22:5", "must be positive"),
        ("hazards: [H-01]", "hazards: [H-02]", ":1:1", "claim.hazards lacks"),
        ("version: 1.0.0\n", "", ":1:1", "version is missing"),
        ("id: demo\n", "id: demo\nid: demo\n", ":3:1", "appears twice"),
        ("title: A", "title: !!python/object:os.system A", ":4:8", "only plain text"),
        ("  subgroups: [sex]", "  subgroups: &a [sex]", ":13:14", "anchors and aliases"),
        ("claim:\n", "claim: [\n", ":", "not valid YAML"),
        ("role: primary", "role: secondary", ":1:1", "at least one primary"),
    ],
)
def test_bad_protocols_are_explained(tmp_path: Path, old: str, new: str, place: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(ProtocolProblem) as caught:
        load_protocol(write(tmp_path, GOOD.replace(old, new, 1)))
    assert place in caught.value.where
    assert words in caught.value.what
    assert caught.value.exit_code == 2


def test_yaml_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    with pytest.raises(ProtocolProblem, match="anchors and aliases"):
        load_protocol(write(tmp_path, bomb))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolProblem, match="nested too deeply"):
        load_protocol(write(tmp_path, "a: " + "[" * 5000 + "]" * 5000))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"- 1\n", b"just text"])
def test_not_a_protocol(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_bytes(content)
    with pytest.raises(ProtocolProblem):
        load_protocol(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ProtocolProblem) as caught:
            load_protocol(path)
        assert caught.value.code == "PROT-001"


def test_every_field_of_the_schema_says_what_it_means() -> None:
    schema = Protocol.model_json_schema(by_alias=True)
    parts = [("Protocol", schema), *schema["$defs"].items()]
    silent = [f"{name}.{key}" for name, part in parts for key, value in part.get("properties", {}).items()
              if not value.get("description")]  # fmt: skip
    assert silent == []
