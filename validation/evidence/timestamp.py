"""RFC 3161 time stamps over the attestation: a request file to carry to an authority, and its token, checked offline.

This program never contacts an authority. The request goes there by whatever way the site allows
(``curl --data-binary @run.tsq -H 'Content-Type: application/timestamp-query' URL``), the answer comes back as a file.

The signature inside a token leaves a few of its header bytes uncovered, so a checksum file lies beside it: it shows
damage, while the signature shows who stated the time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from validation.digest import sha256_bytes, write_atomically
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.manifest import ATTESTATION_FILE, TIMESTAMP_CHECKSUM_FILE, TIMESTAMP_FILE

ROOT_SUFFIX = ".tsa.pem"


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A verified token: the time it states (UTC, ISO 8601), and whether its chain ends at a trusted root."""

    time: str
    authority_proven: bool


def write_request(run_folder: Path, request: Path) -> None:
    """Write an RFC 3161 request (SHA-256, nonce, certificates wanted) for the attestation of a signed run."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    data = _envelope(run_folder)
    built = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    write_atomically(request, built.as_bytes())


def attach_token(run_folder: Path, token: Path, *, roots: list[bytes]) -> TimeStamp:
    """Verify a token and put it into the run as ``attestation.tsr``.

    Raises
    ------
    IntegrityProblem
        EVD-060 if it is not a granted RFC 3161 response for this attestation.
    UsageProblem
        EVD-061 if the run is unsigned or already stamped.
    """
    data = token.read_bytes()
    stamp = verify_token(data, envelope=_envelope(run_folder), roots=roots)
    if (run_folder / TIMESTAMP_FILE).exists():
        raise UsageProblem("the run is already time-stamped.", code="EVD-061", where=str(run_folder / TIMESTAMP_FILE))
    write_atomically(run_folder / TIMESTAMP_CHECKSUM_FILE, _checksum(data))
    write_atomically(run_folder / TIMESTAMP_FILE, data)
    return stamp


def checksum_agrees(run_folder: Path) -> bool:
    """Return whether the token of a run and the checksum beside it agree (false if one of them is missing)."""
    token, checksum = run_folder / TIMESTAMP_FILE, run_folder / TIMESTAMP_CHECKSUM_FILE
    return token.is_file() and checksum.is_file() and checksum.read_bytes() == _checksum(token.read_bytes())


def verify_token(token: bytes, *, envelope: bytes, roots: list[bytes]) -> TimeStamp:
    """Verify a response against the attestation it stamps.

    With ``roots`` (PEM certificates) the signature and the certificate chain are verified at the stated time; without,
    only that the response was granted and speaks of this attestation, and ``authority_proven`` is false.

    Raises
    ------
    IntegrityProblem
        EVD-060 if any of it does not hold.
    """
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import PKIStatus, VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        response = decode_timestamp_response(token)
        info = response.tst_info
        granted = PKIStatus(response.status) == PKIStatus.GRANTED
        hasher = {32: hashlib.sha256, 48: hashlib.sha384, 64: hashlib.sha512}.get(len(info.message_imprint.message))
        stamped = hasher is not None and hasher(envelope).digest() == info.message_imprint.message
        time = info.gen_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError) as problem:
        raise _bad_token(f"it is not an RFC 3161 response ({problem})") from None
    if not granted:
        raise _bad_token("the authority did not grant it")
    if not stamped:
        raise _bad_token("it stamps something else than this attestation")
    if roots:
        try:
            certificates = [c for root in roots for c in load_pem_x509_certificates(root)]
        except ValueError:
            raise UsageProblem(
                f"a file *{ROOT_SUFFIX} in the trust folder is not a PEM certificate.", code="EVD-062"
            ) from None
        try:
            VerifierBuilder(roots=list(dict.fromkeys(certificates))).build().verify_message(response, envelope)
        except VerificationError as problem:
            raise _bad_token(f"its signature does not verify ({problem})") from None
    return TimeStamp(time, bool(roots))


def read_roots(trust: Path) -> list[bytes]:
    """Return the root certificates ``*.tsa.pem`` of trusted time-stamp authorities in a trust folder."""
    return [path.read_bytes() for path in sorted(trust.glob(f"*{ROOT_SUFFIX}"))]


def _checksum(data: bytes) -> bytes:
    return f"{sha256_bytes(data)}  {TIMESTAMP_FILE}\n".encode()


def _envelope(run_folder: Path) -> bytes:
    try:
        return (run_folder / ATTESTATION_FILE).read_bytes()
    except FileNotFoundError:
        raise UsageProblem(
            "the run is not signed, so there is nothing to stamp.",
            code="EVD-061",
            where=str(run_folder),
            action="Sign it first: `validation sign RUN --key KEY --attest`.",
        ) from None


def _bad_token(why: str) -> IntegrityProblem:
    return IntegrityProblem(
        f"the time stamp is refused: {why}.",
        code="EVD-060",
        where=TIMESTAMP_FILE,
        why="The stated time would prove nothing.",
        action="Ask the authority again with the request that `validation sign --timestamp-request` writes.",
    )
