"""What an endpoint names besides masks: the structure of a label map, and the labeller of texts."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from validation.errors import ProtocolProblem
from validation.metrics.text.labeller import Terms, make_terms
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.registry import Metric


def structure_of(endpoint: Endpoint, metric: Metric, parameters: dict[str, Any]) -> tuple[str, str]:
    """Take ``structure`` and ``against`` out of the parameters of a metric of segmentations and return both.

    ``structure`` is the model's; ``against`` is the mask of the case that it is compared with, of the same name if not
    given. Without a structure the metric reads images, as any other.

    Raises
    ------
    ProtocolProblem
        If either is not a name, or ``against`` stands alone (RUN-002).
    """
    if metric.family != "segmentation":
        return "", ""
    structure = parameters.pop("structure", "")
    against = parameters.pop("against", structure)
    if not isinstance(structure, str) or not isinstance(against, str) or (against and not structure):
        raise ProtocolProblem(
            "`structure` names a structure of the model's label map, `against` the mask that it is compared with.",
            code="RUN-002",
            where=f"endpoints.{endpoint.id}.metric",
            action="Give both as names, or `structure` alone.",
        )
    return structure, against


def labeller_of(protocol: Protocol, name: Any, *, where: str) -> Terms:
    """Return the labeller that an endpoint names.

    Raises
    ------
    ProtocolProblem
        If the protocol has no labeller of that name (RUN-002).
    """
    if name not in protocol.labellers:
        near = get_close_matches(str(name), protocol.labellers, n=1)
        raise ProtocolProblem(
            f"the protocol has no labeller named {name!r}.",
            code="RUN-002",
            where=where,
            action=f"Did you mean {near[0]!r}?" if near else "Describe it under `labellers`.",
        )
    chosen = protocol.labellers[name]
    return make_terms(
        {finding: entry.terms for finding, entry in chosen.findings.items()},
        {finding: entry.severity for finding, entry in chosen.findings.items()},
        negation=chosen.negation,
        ruled_out=chosen.ruled_out,
        uncertain=chosen.uncertain,
    )
