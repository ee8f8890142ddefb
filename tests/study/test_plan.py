"""Which measurements a protocol asks for."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.study.synthetic import STANDARD, endpoint, protocol
from validation.errors import ProtocolProblem, UsageProblem
from validation.study.plan import make_plan


def pairs(*endpoints: dict[str, object]) -> list[tuple[str, str]]:
    return [(task.key, task.arm) for task in make_plan(protocol(*endpoints)).tasks]


def test_every_metric_and_arm_once() -> None:
    assert pairs(*STANDARD) == [
        ("noise_magnitude", "output"),
        ("noise_magnitude", "input"),
        ("noise_magnitude(region=middle)", "output"),
        ("rmse", "output"),
        ("rmse", "input"),
    ]
    again = (*STANDARD, endpoint(id="E4", role="secondary", comparator="reference"), endpoint(id="E5", role="safety"))
    assert pairs(*again)[:3] == [("noise_magnitude", arm) for arm in ("output", "input", "reference")]
    assert len(pairs(*again)) == 6


def test_cases_of_endpoints_are_united() -> None:
    frame = pd.DataFrame({"kind": ["a", "b", "c"]}, index=["x", "y", "z"])
    some = endpoint(cases="kind == 'a'")
    other = endpoint(id="E2", role="secondary", cases="kind == 'b'")
    everything = endpoint(id="E3", role="secondary")
    assert make_plan(protocol(some)).applies(frame)[0].tolist() == [True, False, False]
    assert make_plan(protocol(some, other)).applies(frame)[0].tolist() == [True, True, False]
    assert make_plan(protocol(some, other, everything)).applies(frame)[0].tolist() == [True, True, True]
    assert make_plan(protocol(everything, some)).applies(frame)[0].tolist() == [True, True, True]


def test_digest_follows_everything_that_is_measured() -> None:
    base = make_plan(protocol(*STANDARD)).digest()
    assert make_plan(protocol(*reversed(STANDARD))).digest() == base
    assert make_plan(protocol(*STANDARD, seed=1)).digest() != base
    assert make_plan(protocol(*STANDARD, draws=2)).digest() != base
    assert make_plan(protocol(*STANDARD, precision="bf16")).digest() != base
    assert make_plan(protocol(*STANDARD[:2])).digest() != base
    renamed = {**STANDARD[0], "title": "Another title", "hypothesis": {"type": "superiority"}}
    assert make_plan(protocol(renamed, *STANDARD[1:])).digest() == base


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"metric": {"name": "noise_magnitud"}}, "MET-001"),
        ({"metric": {"name": "rmse", "sigma": 3}}, "RUN-002"),
        ({"metric": {"name": "rmse", "spacing_mm": 3}}, "RUN-002"),
        ({"metric": {"name": "rmse"}, "comparator": "reference"}, "RUN-002"),
        ({"metric": {"name": "cnr", "signal": "lesion"}}, "RUN-002"),
        ({"metric": {"name": "cnr", "signal": "lesion", "background": 3}}, "RUN-002"),
        ({"metric": {"name": "ms_ssim", "region": "lesion"}}, "RUN-002"),
        ({"metric": {"name": "lesion_contrast"}}, "RUN-002"),
    ],
)
def test_endpoints_that_cannot_be_measured(fields: dict[str, object], code: str) -> None:
    with pytest.raises((ProtocolProblem, UsageProblem)) as caught:
        make_plan(protocol(endpoint(**fields)))
    assert caught.value.code == code


def test_masks_are_named_by_their_part_in_the_protocol() -> None:
    contrast = endpoint(metric={"name": "cnr", "signal": "lesion", "background": "liver"})
    (task,) = make_plan(protocol(contrast)).tasks
    assert task.masks == {"signal_mask": "lesion", "background_mask": "liver"}
    assert task.parameters == {}
    ring = endpoint(metric={"name": "lesion_contrast", "region": "lesion", "ring": 2})
    (task,) = make_plan(protocol(ring)).tasks
    assert (task.masks, task.parameters) == ({"mask": "lesion"}, {"ring": 2})
