"""The definitions followed where published tools disagree, and why; printed with every analysis."""

from __future__ import annotations

_PARTS = {
    "or": (
        "Obuchowski-Rockette with Hillis degrees of freedom (doi:10.1002/sim.2532), real-valued df, exact t law. "
        "Random readers: Cov2 - Cov3 (and Cov2 per modality) is set to 0 where negative, as the model requires. "
        "Differences use mean squares and covariances pooled over all modalities; a modality's own interval uses its "
        "data alone."
    ),
    "fixed_readers": (
        "Fixed readers: normal law and no truncation of Cov2 - Cov3, because the variance is that of a fixed "
        "contrast of estimates "
        "(MRMCaov does the same; RJafroc truncates, and uses t with K - 1 df per modality)."
    ),
    "fixed_cases": "Fixed cases: paired t over readers, from MS(TR); conclusions hold for these cases only.",
    "dbm": (
        "Dorfman-Berbaum-Metz on jackknife pseudovalues of AUC with Hillis df: equal to Obuchowski-Rockette with "
        "jackknife covariance for random "
        "readers; with fixed readers an F test on (t - 1)(c - 1) df, where Obuchowski-Rockette uses chi-square."
    ),
    "ustat": (
        "U-statistic variance (Gallas et al. 2009, doi:10.1080/03610920802610084): pairs of cases are weighted "
        "equally, so "
        "that a reader with more cases counts more. BDG degrees of freedom after Satterthwaite on the mean squares of "
        "readers, negative and positive cases (Obuchowski, Gallas & Hillis 2012, doi:10.1016/j.acra.2012.09.012); "
        "factors "
        "that two modalities do not share enter separately, and the smallest df of a part that contributes is the "
        "floor. "
        "iMRMC Java 4.0.3 prints the same df; iMRMC R 2.1.2 prints others where readers or cases are not paired, "
        "down to "
        "1 for a system entered as two identical readers. df are used as they are, not rounded down, and without a "
        "switch "
        "to the normal law at 50. A negative unbiased variance gives no interval and no verdict. A modality read by "
        "one "
        "reader alone is a fixed system: its variance is that over cases."
    ),
    "ustat_fixed": (
        "Fixed readers: the variance is that over cases of the mean of these readers, weighted by their comparisons, "
        "with the normal law; for two modalities and complete tables it equals Obuchowski-Rockette with unbiased "
        "covariance."
    ),
    "fitted": (
        "Fitted curves: maximum likelihood on rating categories with free thresholds (binormal: "
        "doi:10.1016/0022-2496(69)90019-4; proper: Metz & Pan 1999), jackknife covariance with every curve "
        "fitted again. Where the likelihood has no maximum but rises towards the perfect curve, the area is 1 with no "
        "case variance (MRMCaov does the same); where ratings fix no curve, the analysis is refused."
    ),
    "clustered": (
        "Several lesions per patient: covariances of the figures are taken over patients (Obuchowski 1997, "
        "doi:10.2307/2533958; Rao & Scott 1992, doi:10.2307/2532311). With unbiased covariance the AUC compares "
        "lesions of different patients only, as NestMRMC does; otherwise all pairs count."
    ),
    "patients": (
        "Several lesions per patient in a table that is not complete: U-statistics over patients. The product of two "
        "means is estimated from comparisons that share neither a reader nor a patient; AUC compares lesions of "
        "different patients only, comparisons are weighted equally. Degrees of freedom after Satterthwaite: what "
        "different readers share has patients - 1, the rest readers - 1. No other tool was found to do this; it is "
        "checked by simulation, and against the U-statistics of independent cases."
    ),
    "standalone": (
        "System against readers: each reader's difference from the system is analysed as one modality "
        "(Obuchowski-Rockette, doi:10.1002/sim.2532), so that the system is fixed, readers are a sample, and the "
        "cases it shares "
        "with the readers are accounted for; RJafroc and the Google reader study code follow the same law."
    ),
    "marks": (
        "Localisation figures of merit after Chakraborty (doi:10.1118/1.4947125): an unmarked lesion and an unmarked "
        "case are tied; of several marks on a lesion the highest counts; the jackknife deletes whole cases. Figures "
        "of one class of cases delete cases of that class only."
    ),
    "nested": (
        "Readings of different cases share no case error: their covariance is 0 and enters the averages as 0 (as in "
        "MRMCaov for nested designs)."
    ),
    "test": (
        "p-values are two-sided for superiority; for non-inferiority they are the one-sided upper tail of (d + "
        "margin) / se and are compared with alpha / 2 "
        "(an FDA example prints twice that tail), so that p-value and two-sided interval never disagree; equivalence "
        "takes the larger of two one-sided "
        "p-values. Limits of figures that lie between 0 and 1 are cut there."
    ),
    "decisions": (
        "Sensitivity and specificity come from the recorded decisions; they are computed from a threshold of the "
        "ratings only on request, "
        "which the FDA guidance of 28 September 2022 (section IV.A) advises against."
    ),
}


def conventions(*names: str) -> str:
    """Return the conventions of these parts as one text.

    >>> conventions("fixed_cases")
    'Fixed cases: paired t over readers, from MS(TR); conclusions hold for these cases only.'
    """
    return " ".join(_PARTS[name] for name in names)
