"""Speed, memory and energy of models, measured in turns on one machine, and kept as raw readings.

Candidates take turns within every round, so that a machine that grows warm or busy slows all of them. What is measured
is this machine in this hour: the record names it, and no number of it is a property of the model alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from validation.cohort.open import Cohort
from validation.comparison.spec import Compute
from validation.models import Batch, Model
from validation.models.inference import Precision
from validation.study.batches import peak_memory
from validation.study.environment import deterministic

_RAPL = Path("/sys/class/powercap")
WARM_UP = 2


def measure_compute(
    models: Mapping[str, Model],
    cohort: Cohort,
    case_ids: Sequence[str],
    settings: Compute,
    device: torch.device,
    precision: Precision,
) -> dict[str, Any]:
    """Return raw readings per model: milliseconds per case, cases per second, bytes, joules, parameters.

    Parameters
    ----------
    models
        Candidate to its loaded model.
    cohort, case_ids
        Cases whose inputs are shown, one at a time; the first ``settings.cases`` of equal shape.
    settings
        Cases and rounds.
    device, precision
        As in the run.
    """
    inputs = _inputs(cohort, case_ids, settings.cases, device)
    found: dict[str, dict[str, Any]] = {
        name: {"latency_ms": [], "throughput_per_s": [], "energy_j": [], "parameters": model.parameters}
        for name, model in models.items()
    }
    with deterministic(device):
        for name, model in models.items():
            one = _call(model, inputs[:1], precision)
            for _ in range(WARM_UP):
                one()
            # on a CPU the allocator hands freed memory out again, so the growth of a warm process says nothing
            found[name]["peak_memory_bytes"] = peak_memory(one, device) if device.type == "cuda" else None
        for round_ in range(settings.repeats):
            order = list(models) if round_ % 2 == 0 else list(models)[::-1]
            for name in order:
                _round(models[name], inputs, precision, device, found[name])
    return {"device": device.type, "n_inputs": len(inputs), "repeats": settings.repeats, "models": found}


def _round(
    model: Model,
    inputs: list[tuple[str, torch.Tensor]],
    precision: Precision,
    device: torch.device,
    into: dict[str, Any],
) -> None:
    """One round of one model: every case alone with its time, and the energy of the whole round."""
    before = _energy(device)
    whole = 0.0
    for single in inputs:
        work = _call(model, [single], precision)
        _wait(device)
        begun = time.perf_counter()
        work()
        _wait(device)
        taken = time.perf_counter() - begun
        whole += taken
        into["latency_ms"].append(1e3 * taken)
    after = _energy(device)
    into["throughput_per_s"].append(len(inputs) / whole)
    if before is not None and after is not None and after > before:
        into["energy_j"].append((after - before) / len(inputs))


def _call(model: Model, inputs: Sequence[tuple[str, torch.Tensor]], precision: Precision) -> Callable[[], object]:
    batch = Batch(
        images=torch.stack([image for _, image in inputs]),
        case_ids=tuple(case for case, _ in inputs),
        rows=tuple({} for _ in inputs),
        seeds=tuple(range(len(inputs))),
    )
    return lambda: model.predict(batch, precision=precision)


def _inputs(
    cohort: Cohort, case_ids: Sequence[str], count: int, device: torch.device
) -> list[tuple[str, torch.Tensor]]:
    found: list[tuple[str, torch.Tensor]] = []
    for case_id in case_ids:
        image = torch.from_numpy(cohort.load(case_id).arrays["input"]).to(device, torch.float32)
        if not found or image.shape == found[0][1].shape:
            found.append((case_id, image))
        if len(found) == count:
            break
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _energy(device: torch.device) -> float | None:
    """Return the joules that the package (or the GPU) has used since some start, ``None`` where nothing tells."""
    if device.type == "cuda":
        try:
            import pynvml  # type: ignore[import-not-found,unused-ignore]

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except Exception:  # no driver library, or a card that does not count
            return None
    total, any_found = 0.0, False
    for counter in sorted(_RAPL.glob("intel-rapl:[0-9]/energy_uj")):
        try:
            total += int(counter.read_text()) / 1e6
            any_found = True
        except (OSError, ValueError):  # readable by the administrator only on many systems
            continue
    return total if any_found else None
