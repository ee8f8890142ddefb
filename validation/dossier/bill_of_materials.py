"""The software bill of materials of the environment in which the model was run, in the CycloneDX format.

What the record holds is listed: the model with its digest, and every package with its version. Suppliers, licences and
vulnerabilities are not in the record, and none is invented.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from validation.dossier.printing import Pages

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel


def bill_of_materials(view: ViewModel, pathway: str, pages: Pages) -> bytes:
    """Return the bill of materials as CycloneDX JSON; the same record gives the same bytes."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL

    results, run = view.record.results, str(view.record.raw("run.id"))
    digest = str(results["model"]["sha256"] or "")
    model = Component(
        name=str(results["model"]["name"]),
        version=str(results["model"]["version"]),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if len(digest) == 64 else [],
    )
    packages = view.record.raw("environment:packages") if view.has("environment:packages") else {}
    parts = [
        Component(
            name=name,
            version=str(version),
            type=ComponentType.LIBRARY,
            bom_ref=f"pkg:pypi/{name}@{version}",
            purl=PackageURL("pypi", None, name, str(version)),
        )
        for name, version in packages.items()
    ]
    finished = datetime.fromisoformat(str(view.record.raw("run.finished")).replace("Z", "+00:00"))
    bom = Bom(
        components=parts,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"validation:{run}/{pathway}"),
        metadata=BomMetaData(
            component=model,
            timestamp=finished,
            properties=[Property(name="validation:run", value=run), Property(name="validation:pathway", value=pathway)],
        ),
    )
    bom.register_dependency(model, parts)
    made = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return made.output_as_string(indent=2).encode() + b"\n"
