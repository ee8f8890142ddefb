r"""Hallucinated and lost structures: region-wise Fourier ring correlation against a matched-noise null.

**Question.** Is there a region whose disagreement with the reference is more than noise of the strength seen in the
rest of the image can explain?

**Model of a faithful output.** In every region and frequency :math:`R = S + N_r` and :math:`O = H S + N_o`: common
structure S, filtered by one transfer function H per ring (blur or sharpening, which the ring correlation does not
see), and Gaussian noise of both images. H comes from the regions with most structure, the noise spectra from medians
over regions, so that a few hallucinated regions do not enter them; the local strength of the noise comes from the rings
*above* the tested band, so that noise that varies over the image is matched, and a structure within the band is not
explained away as noise.

**Test.** For each ring of the band the Fisher-transformed correlation is compared with what the region's reference
power lets expect, and standardised by simulating the model with 256 noise regions. The sum over the lowest rings that
deviates most counts, relative to regions matched by expected correlation. The image is judged by its worst region: the
null distribution of the worst of all regions gives the threshold, with Student tails (8 degrees of freedom), because
regions with sharp edges or uneven noise deviate more than the model says. These tails were chosen on simulated images
of three kinds (3 of 60 clean ones flagged at ``alpha = 0.05``); of 30 clean images of a fourth kind, never used for it,
3 were flagged (0.10, 95 % interval 0.035 to 0.256; ``benchmarks/imaging_faults.py``). A lost structure lowers the
correlation as an invented one does.

**Limits.** Regions are compared with one another, so an output that is wrong everywhere alike has no flagged region
(its ``frc_resolution`` is bad). A correlation changes little when a small structure is added to a region full of
strong ones, so this test finds large disagreement and misses small: in the same chest slices a nodule of 12 mm was
flagged in 0.30 (60 HU) and 0.83 (150 HU) of the images, one of 6 mm in 0.10, 0.27 and 0.87 (60, 150, 400 HU). No
flagged region does not prove that nothing was invented. ``worst_local_error`` found more of the same nodules, and
task-based metrics belong beside both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair
from validation.metrics.imaging.ring_correlation import as_slices, regions, regions_inside, windowed
from validation.registry import Direction, metric

TEMPLATES = 256  # noise regions that the null is simulated from
IMAGES = 2000  # null images that the worst region is drawn from
SEED = 20210707
GROUPS = 3  # of matched regions
TAIL_DF = 8.0  # tails of the null: regions of real images deviate more than Gaussian noise does
LEAST_COHERENCE = 0.3  # below it a ring holds no structure to measure a gain on
REFERENCE = (
    "Saxton and Baumeister 1982, doi:10.1111/j.1365-2818.1982.tb00405.x; Kc et al. 2024 (sFRC), "
    "doi:10.36227/techrxiv.171259560.02243347/v1; "
    "Westfall and Young 1993 (maximum statistic)"
)
ORACLE = "planted nodules and erased lesions; false-alarm rate on simulated and real noise"


@dataclass(frozen=True, eq=False)
class RegionTest:
    """Deviation of every usable region of one case, in null standard deviations (negative: less agreement).

    ``z`` (P,); ``null_worst`` (IMAGES,) the worst z of a faithful image; ``inside`` (P,) regions that count.
    """

    z: Tensor
    null_worst: Tensor
    inside: Tensor

    @property
    def worst(self) -> float:
        """Worst deviation, NaN where no region counts."""
        return float(self.z[self.inside].min()) if bool(self.inside.any()) else math.nan

    def flagged(self, alpha: float) -> int:
        """Return the number of regions below the family-wise threshold."""
        return int((self.z[self.inside] < torch.quantile(self.null_worst, alpha)).sum())

    @property
    def p_value(self) -> float:
        """Share of faithful images whose worst region is as bad as this one."""
        if math.isnan(self.worst):
            return math.nan
        worse = int((self.null_worst <= self.worst).sum())
        return (1 + worse) / (1 + len(self.null_worst))


def hard_rings(size: int, device: torch.device) -> Tensor:
    """Return the ring ``(size * (size // 2 + 1),)`` of each half-plane frequency, by rounding its radius."""
    across = torch.arange(size // 2 + 1, device=device, dtype=torch.float64)
    down = torch.fft.fftfreq(size, 1 / size, device=device, dtype=torch.float64)
    ring: Tensor = (down[:, None].square() + across.square()).sqrt().round().long().flatten()
    return ring


def compare_regions(
    output: Tensor, reference: Tensor, inside: Tensor, *, band: tuple[int, int], generator: torch.Generator
) -> RegionTest:
    """Test the regions ``(P, size, size)`` of one case; ``band`` is the first and last ring tested."""
    size, device = output.shape[-1], output.device
    ring = hard_rings(size, device)
    first, last = band
    top = size // 2 - 1
    members = [(ring == r).nonzero().flatten() for r in range(first, top + 1)]
    o, r = (torch.fft.rfft2(windowed(i.to(torch.float64))).flatten(1) for i in (output, reference))

    def summed(values: Tensor) -> Tensor:
        sums: Tensor = torch.stack([values[:, m].sum(1) for m in members], 1)
        return sums

    cross, power_r, power_o = summed((o * r.conj()).real), summed(r.abs().square()), summed(o.abs().square())
    counts = torch.tensor([len(m) for m in members], dtype=torch.float64, device=device)
    gain, noise_r, noise_o = _spectra(cross[inside], power_r[inside], power_o[inside])
    above = torch.arange(first, top + 1, device=device) > last
    strength = _strength(cross, power_r, power_o, gain, noise_r, noise_o, above)
    gain = gain.nan_to_num(0.0)

    noise = torch.randn((2, TEMPLATES, size, size), generator=generator, dtype=torch.float64).to(device)
    template = torch.fft.rfft2(windowed(noise)).flatten(2)
    template = template / template.abs().square().mean().sqrt()
    null, observed, level = [], [], []
    for k in range(int((~above).sum())):
        index = members[k]
        bank_r, bank_o = template[0][:, index], template[1][:, index]
        per = counts[k]
        scale_r = (noise_r[k] * strength[0] / per).sqrt()[:, None]  # (P, 1)
        scale_o = (noise_o[k] * strength[1] / per).sqrt()[:, None]
        structure = (power_r[:, k] - noise_r[k] * strength[0]).clamp(min=0)[:, None]
        common = r[:, index] * (structure / power_r[:, k : k + 1].clamp(min=1e-300)).sqrt()
        with_r = common.real @ bank_r.real.T + common.imag @ bank_r.imag.T  # (P, TEMPLATES)
        with_o = common.real @ bank_o.real.T + common.imag @ bank_o.imag.T
        both = (bank_r * bank_o.conj()).real.sum(1)
        pr = structure + 2 * scale_r * with_r + scale_r.square() * bank_r.abs().square().sum(1)
        po = (
            gain[k].square() * structure
            + 2 * gain[k] * scale_o * with_o
            + scale_o.square() * bank_o.abs().square().sum(1)
        )
        joint = gain[k] * structure + scale_o * with_o + gain[k] * scale_r * with_r + scale_r * scale_o * both
        levels = (gain[k], scale_r.square() * per, scale_o.square() * per)
        null.append(_fisher(joint / (pr * po).clamp(min=1e-300).sqrt()) - _expected(pr, *levels))
        seen = cross[:, k] / (power_r[:, k] * power_o[:, k]).clamp(min=1e-300).sqrt()
        level.append(_expected(power_r[:, k : k + 1], *levels)[:, 0])
        observed.append(_fisher(seen) - level[-1])
    return _judged(torch.stack(observed), torch.stack(null), _matched(torch.stack(level).mean(0)), inside, generator)


def _judged(
    observed: Tensor, null: Tensor, groups: list[Tensor], inside: Tensor, generator: torch.Generator
) -> RegionTest:
    """Reduce transformed correlations, observed ``(R, P)`` and null ``(R, P, TEMPLATES)``, to a deviation per region.

    Rings are standardised and summed from the lowest up; the most deviating of these sums counts, so that a structure
    of any size within the band stands out.
    """
    centre, spread = null.mean(2, keepdim=True), null.std(2, keepdim=True).clamp(min=1e-9)
    null = ((null - centre) / spread).cumsum(0)
    sums = ((observed - centre[..., 0]) / spread[..., 0]).cumsum(0)
    scale = null.std(2, keepdim=True).clamp(min=1e-9)
    null, sums = null / scale, sums / scale[..., 0]
    sums = torch.stack([_typical(row, inside, groups) for row in sums])
    kept = null[:, inside].amin(0)  # (P, TEMPLATES)
    picks = torch.randint(TEMPLATES, (kept.shape[0], IMAGES), generator=generator).to(kept.device)
    return RegionTest(sums.amin(0), _heavy(kept.gather(1, picks).amin(0)), inside)


def _heavy(z: Tensor) -> Tensor:
    """Return Student quantiles (TAIL_DF) of the same probability as normal deviates."""
    from scipy import stats

    tails = stats.t.ppf(stats.norm.cdf(z.cpu().numpy()), TAIL_DF)
    return torch.as_tensor(tails, dtype=z.dtype, device=z.device)


def _spectra(cross: Tensor, power_r: Tensor, power_o: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gain of the structure, and the noise power of reference and output, per ring of a typical region.

    The gain comes from the quarter of the regions with most structure, where noise hardly biases it. Where even these
    do not correlate there is no structure to measure a gain on, and all power is noise.
    """
    rich = power_r.topk(max(4, power_r.shape[0] // 4), dim=0).indices
    joint, first, second = (v.gather(0, rich).sum(0) for v in (cross, power_r, power_o))
    coherence = joint / (first * second).clamp(min=1e-300).sqrt()
    gain = torch.where(coherence > LEAST_COHERENCE, joint / first.clamp(min=1e-300), torch.nan)
    unexplained = _unexplained(cross, power_r, power_o, gain)
    floor = (1e-9 * power_r.mean(0), 1e-9 * power_o.mean(0))
    noise = [torch.maximum(u.median(0).values, f) for u, f in zip(unexplained, floor, strict=True)]
    return gain, noise[0], noise[1]


def _unexplained(cross: Tensor, power_r: Tensor, power_o: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power of reference and output that their common structure does not explain."""
    known = ~torch.isnan(gain)
    return (
        torch.where(known, power_r - cross / gain, power_r),
        torch.where(known, power_o - gain * cross, power_o),
    )


def _strength(
    cross: Tensor, power_r: Tensor, power_o: Tensor, gain: Tensor, noise_r: Tensor, noise_o: Tensor, above: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the local strength of the noise of reference and output, 1 if typical, from the rings above the band.

    The difference of the images (reference filtered) holds the noise of both and no structure, so its power fixes the
    sum; what the reference shows beyond the common structure divides it.
    """
    g = gain.nan_to_num(0.0)
    both = power_o - 2 * g * cross + g.square() * power_r
    typical = noise_o + g.square() * noise_r
    total = (both[:, above] / typical[above]).median(1).values.clamp(min=1e-6)
    excess_r, _ = _unexplained(cross, power_r, power_o, gain)
    share = (g.square() * noise_r)[above].sum() / typical[above].sum()
    own = (excess_r[:, above] / noise_r[above]).median(1).values
    own = torch.minimum(own.clamp(min=0.05) * total.clamp(max=1.0), 0.95 * total / share.clamp(min=1e-6))
    return own, ((total - share * own) / (1 - share).clamp(min=1e-6)).clamp(min=0.05 * total)


def _typical(z: Tensor, inside: Tensor, groups: list[Tensor]) -> Tensor:
    """Return deviations relative to matched regions: centred, and scaled where they spread more than the null.

    An empirical null (Efron 2004, doi:10.1198/016214504000000089) within groups of regions that should correlate about
    equally: what a whole group shares (a filter that depends on edges, noise that is not quite Gaussian) is not local.
    """
    result = z.clone()
    for group in groups:
        part = z[group & inside]
        if len(part) == 0:
            continue
        middle = part.median()
        low = (middle - torch.quantile(part, 0.1)) / 1.2816
        spread = torch.maximum(1.4826 * (part - middle).abs().median(), low)
        result[group] = (z[group] - middle) / spread.clamp(min=1.0)
    return result


def _matched(expected: Tensor) -> list[Tensor]:
    """Return groups of at least some thirty regions with neighbouring expected correlation."""
    count = max(1, min(GROUPS, len(expected) // 30))
    order = expected.argsort(stable=True)
    groups = []
    for part in torch.tensor_split(order, count):
        member = torch.zeros(len(expected), dtype=torch.bool, device=expected.device)
        member[part] = True
        groups.append(member)
    return groups


def _expected(power: Tensor, gain: Tensor, noise_r: Tensor, noise_o: Tensor) -> Tensor:
    """Return the transformed correlation that a region of this reference power should have.

    Observed and simulated regions are compared with it alike, so that not knowing the structure without its noise
    widens the null as it should.
    """
    structure = (power - noise_r).clamp(min=0)
    scale = ((structure + noise_r) * (gain.square() * structure + noise_o)).clamp(min=1e-300).sqrt()
    return _fisher(gain * structure / scale)


def _fisher(correlation: Tensor) -> Tensor:
    return torch.atanh(correlation.clamp(-0.999999, 0.999999))


def _tests(
    output: Tensor, reference: Tensor, mask: Tensor | None, size: int, stride: int, band: tuple[float, float]
) -> list[RegionTest | None]:
    """Test every case; ``None`` where no region has anything to compare."""
    if not 0 < band[0] < band[1] < 1 or size < 16:
        raise UsageProblem(
            f"band is {band}, size {size}.",
            code="MET-014",
            where="band, size",
            action="Give regions of at least 16 pixels, and a band as rising shares of the Nyquist frequency below 1.",
        )
    output, reference = checked_pair(output, reference)
    counted = regions_inside(checked_mask(mask, output), output, size, stride)
    rings = max(1, round(band[0] * size / 2)), min(size // 2 - 3, round(band[1] * size / 2))
    found: list[RegionTest | None] = []
    for k in range(output.shape[0]):
        parts = [regions(as_slices(i[k : k + 1]), size, stride)[0] for i in (output, reference)]
        finite = torch.isfinite(parts[0]).all(-1).all(-1) & torch.isfinite(parts[1]).all(-1).all(-1)
        varies = (parts[0].flatten(1).std(1) > 0) & (parts[1].flatten(1).std(1) > 0)
        inside = counted[k] & finite & varies
        if int(inside.sum()) < 8:
            found.append(None)
            continue
        kept = torch.ones(int(inside.sum()), dtype=torch.bool, device=output.device)
        generator = torch.Generator().manual_seed(SEED)  # the same null for every case, whatever batch it is in
        found.append(compare_regions(parts[0][inside], parts[1][inside], kept, band=rings, generator=generator))
    return found


@metric(
    "frc_hallucination",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle=ORACLE,
    family="imaging",
)
def frc_hallucination(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    size: int = 32,
    stride: int = 16,
    band: tuple[float, float] = (0.05, 0.5),
    alpha: float = 0.05,
) -> Tensor:
    """Count the regions that disagree with the reference by more than noise explains.

    See the module for the model and the test. A faithful image has one or more with probability about
    ``alpha`` (nominal; see there).

    Undefined (NaN) when fewer than 8 regions have variation in both images and lie in the mask.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)`` (slice by slice, judged together).
    mask
        Regions with at least half of their pixels in it count; all if absent.
    size, stride
        Of the regions, in pixels. A structure is found best by regions two to four times its size.
    band
        First and last frequency tested, as shares of the Nyquist frequency. Above it the noise is measured.
    alpha
        Probability that a faithful image has a flagged region.

    Returns
    -------
    Tensor
        ``(B,)``, counts.
    """
    if not 0 < alpha < 1:
        raise UsageProblem(
            f"alpha is {alpha}.", code="MET-014", where="alpha", action="Give a probability, such as 0.05."
        )
    tests = _tests(output, reference, mask, size, stride, band)
    values = [torch.nan if t is None else float(t.flagged(alpha)) for t in tests]
    return torch.tensor(values, dtype=torch.float64, device=output.device)


@metric(
    "worst_region_deviation",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle=ORACLE,
    family="imaging",
)
def worst_region_deviation(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    size: int = 32,
    stride: int = 16,
    band: tuple[float, float] = (0.05, 0.5),
) -> Tensor:
    """Deviation of the worst region from its matched-noise null, in standard deviations.

    A continuous companion of ``frc_hallucination``: about -3 to -4 for a faithful image of some hundred regions
    (the worst of many), far below for one with false or lost structure. Parameters as there.

    Undefined (NaN) when fewer than 8 regions have variation in both images and lie in the mask.
    """
    tests = _tests(output, reference, mask, size, stride, band)
    values = [torch.nan if t is None else t.worst for t in tests]
    return torch.tensor(values, dtype=torch.float64, device=output.device)
