"""Signed statements: an in-toto Statement v1 over the manifest, in a DSSE envelope, as canonical bytes.

What is signed is the pre-authentication encoding of DSSE 1.0 (https://github.com/secure-systems-lab/dsse), so the
payload type is covered too. The envelope file is RFC 8785 JSON and holds one signature, so no byte of it can change
without either the form or the signature breaking.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from validation.digest import canonical_json
from validation.errors import IntegrityProblem
from validation.evidence.keys import PublicKey
from validation.evidence.manifest import MANIFEST_FILE
from validation.evidence.results import parse_canonical

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
RUN_PREDICATE = "pkg:pypi/genmed-validation#run-attestation-v1"
APPROVAL_PREDICATE = "pkg:pypi/genmed-validation#approval-v1"


def make_statement(predicate_type: str, predicate: dict[str, Any], *, manifest_sha256: str) -> dict[str, Any]:
    """Return an in-toto Statement whose one subject is the manifest of a run."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": MANIFEST_FILE, "digest": {"sha256": manifest_sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def seal(statement: dict[str, Any], signer: Signer) -> bytes:
    """Sign a statement and return the bytes of its envelope."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(canonical_json(statement), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return canonical_json(envelope.to_dict())


def peek(data: bytes, *, where: str, predicate_type: str) -> tuple[dict[str, Any], str]:
    """Return statement and key id of an envelope whose form is right, without checking its signature.

    Raises
    ------
    IntegrityProblem
        EVD-040 if the file is not one canonical envelope around one canonical statement of that type.
    """
    try:
        record = parse_canonical(data, where=where)
        (signature,) = record["signatures"]
        payload = base64.b64decode(record["payload"], validate=True)
        statement = parse_canonical(payload, where=where)
        rebuilt = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": signature["keyid"], "sig": base64.b64encode(base64.b64decode(signature["sig"])).decode()}
            ],
        }
        (subject,) = statement["subject"]
        sound = (
            canonical_json(rebuilt) == data
            and statement["_type"] == STATEMENT_TYPE
            and statement["predicateType"] == predicate_type
            and subject["name"] == MANIFEST_FILE
            and isinstance(subject["digest"]["sha256"], str)
            and isinstance(statement["predicate"], dict)
            and isinstance(signature["keyid"], str)
        )
    except (IntegrityProblem, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise IntegrityProblem(
            "the envelope was changed: it is not in the form that was signed.",
            code="EVD-040",
            where=where,
            why="A signature stands for exact bytes.",
            action="Restore the file from the signed package.",
        )
    return statement, signature["keyid"]


def check_signature(data: bytes, key: PublicKey, *, where: str) -> None:
    """Check the signature of an envelope with one public key.

    Raises
    ------
    IntegrityProblem
        EVD-041 if the signature is not by that key over these bytes.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    try:
        Envelope.from_dict(json.loads(data)).verify([key.verifier()], threshold=1)
    except (VerificationError, ValueError, KeyError):
        raise IntegrityProblem(
            f"the signature does not verify with the key {key.key_id[:16]}….",
            code="EVD-041",
            where=where,
            why="The statement, the signature or the key was changed, or someone else signed.",
            action="Restore the file from the signed package, or ask the signer which key was used.",
        ) from None


def subject_digest(statement: dict[str, Any]) -> str:
    """Return the SHA-256 of the manifest that a statement speaks of."""
    digest: str = statement["subject"][0]["digest"]["sha256"]
    return digest
