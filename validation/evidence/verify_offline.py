"""Check the signed record of a validation run with Python and `cryptography` only; travels in packages as verify.py.

    python verify.py [RUN FOLDER] [--trust FOLDER OF PUBLIC KEYS *.pub.pem]

It needs no network and writes nothing. Exit code 0: every file is what was signed; 4: something is not. It shows that
nothing changed since the signature. Who signed is shown only against public keys that you got from the signers
yourself. It does not recompute the statistics: `validation verify` does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
NOT_LISTED = {"manifest.json", "attestation.dsse.json", "attestation.tsr", "attestation.tsr.sha256"}


class OtherManifest(ValueError):
    """A statement is soundly signed, but not about the manifest that lies here."""


def say(text: str) -> None:
    """Print one line; what a record holds must not steer the terminal."""
    print("".join(c if c.isprintable() else "?" for c in text))


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def key_id(pem: bytes) -> str:
    """Return the id of a public key: the SHA-256 of its DER form."""
    return sha256(load_pem_public_key(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def open_envelope(data: bytes) -> tuple[dict[str, Any], str, bytes, bytes]:
    """Return statement, key id, signature and signed bytes of a DSSE envelope in its one canonical form."""
    envelope = json.loads(data)
    if json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() != data:
        raise ValueError("it is not in canonical form")
    if set(envelope) != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != PAYLOAD_TYPE:
        raise ValueError("it is not an envelope around an in-toto statement")
    (signature,) = envelope["signatures"]
    payload, raw = (base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"]))
    for text, decoded in ((envelope["payload"], payload), (signature["sig"], raw)):
        if base64.b64encode(decoded).decode() != text:
            raise ValueError("it is not in canonical form")
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    return json.loads(payload), signature["keyid"], raw, signed


def check_signature(pem: bytes, signature: bytes, signed: bytes) -> None:
    """Raise unless the signature over the signed bytes is by the key."""
    key = load_pem_public_key(pem)
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        hash_of_curve = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
        key.verify(signature, signed, ec.ECDSA(hash_of_curve))
    else:
        raise ValueError("the key is neither Ed25519 nor ECDSA")


def check_files(run: Path) -> list[tuple[str, str]]:
    """Compare every file with the manifest."""
    listed = {entry["name"]: entry for entry in json.loads((run / "manifest.json").read_bytes())["files"]}
    wrong, present = [], set()
    for path in run.rglob("*"):
        name = path.relative_to(run).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            wrong.append((name, "it is a symbolic link or a special file"))
        elif path.is_file() and name not in NOT_LISTED and not name.startswith("approvals/"):
            present.add(name)
    wrong += [(name, "missing") for name in listed.keys() - present]
    wrong += [(name, "not part of the run") for name in present - listed.keys()]
    for name in present & listed.keys():
        if sha256_of(run / name) != listed[name]["sha256"] or (run / name).stat().st_size != listed[name]["size"]:
            wrong.append((name, "changed"))
    return wrong


def check_events(run: Path) -> tuple[list[tuple[str, str]], str]:
    """Follow the hash chain of the events; return what is wrong and the head."""
    *lines, rest = (run / "events.jsonl").read_bytes().split(b"\n")
    before = "0" * 64
    for number, line in enumerate(lines, start=1):
        event = json.loads(line)
        if event["prev_sha256"] != before or event["seq"] != number - 1:
            return [("events.jsonl", f"line {number} does not link to the line before it")], before
        before = sha256(line)
    return ([("events.jsonl", "the last line is unfinished")] if rest else []), before


def check_statement(path: Path, name: str, pem: bytes | None, trust: dict[str, bytes], manifest: str) -> dict[str, Any]:
    """Check one signed statement over the manifest, and return its predicate."""
    statement, signer, signature, signed = open_envelope(path.read_bytes())
    predicate: dict[str, Any] = statement["predicate"]
    own = pem if pem is not None else predicate["key"]["public"].encode()
    if trust and signer not in trust:
        raise ValueError(f"signed by the key {signer[:16]}, which is not in the trust folder")
    if key_id(own) != signer:
        raise ValueError("the key in the run is not the key of the signature")
    check_signature(trust.get(signer, own), signature, signed)
    if statement["subject"] != [{"name": "manifest.json", "digest": {"sha256": manifest}}]:
        raise OtherManifest("it speaks of another manifest.json: that file was changed, or this one is of another run")
    say(f"signed    {name}: key {signer[:16]}, {predicate.get('signed_at') or predicate.get('time')}")
    return predicate


def verify(run: Path, trust: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return everything that is wrong with a run, as (file, what)."""
    wrong: list[tuple[str, str]] = []
    predicate: dict[str, Any] = {}
    head = manifest = ""

    def attempt(name: str, step: Any) -> Any:
        try:
            return step()
        except InvalidSignature:
            wrong.append((name, "the signature does not verify"))
        except UnsupportedAlgorithm:
            wrong.append(("signer.pub.pem" if name == "attestation.dsse.json" else name, "the key is damaged"))
        except OtherManifest as problem:
            wrong.extend([(name, str(problem)), ("manifest.json", "it is not the one that was signed")])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            wrong.append((name, str(problem) or type(problem).__name__))
        return None

    wrong += attempt("manifest.json", lambda: check_files(run)) or []
    manifest = attempt("manifest.json", lambda: sha256_of(run / "manifest.json")) or ""
    found, head = attempt("events.jsonl", lambda: check_events(run)) or ([], "")
    wrong += found
    if not (run / "attestation.dsse.json").exists():
        wrong.append(("attestation.dsse.json", "NOT SIGNED: anyone could have made or changed this run"))
    else:
        pem = attempt("signer.pub.pem", lambda: (run / "signer.pub.pem").read_bytes()) or b""
        attestation = run / "attestation.dsse.json"
        predicate = (
            attempt(attestation.name, lambda: check_statement(attestation, attestation.name, pem, trust, manifest))
            or {}
        )

    def compare() -> None:
        if predicate["events"]["head"] != head:
            wrong.append(("events.jsonl", "its last line is not the one that was signed"))
        if predicate["results"]["sha256"] != attempt("results.json", lambda: sha256_of(run / "results.json")):
            wrong.append(("results.json", "it is not the file that was signed"))
        say(f"run       {predicate['run']['id']}{'  DRAFT' if predicate['run']['draft'] else ''}")
        say(f"protocol  {predicate['protocol']['id']} {predicate['protocol']['version']}")
        say(f"proposed  {(predicate['proposal'] or {}).get('outcome')}: a named person decides, not this program")

    if predicate:
        attempt("attestation.dsse.json", compare)
    for path in sorted((run / "approvals").glob("**/*")):
        name = f"approvals/{path.name}"
        approval = attempt(name, lambda p=path, n=name: check_statement(p, n, None, trust, manifest))
        if approval:
            if sha256_of(path)[:16] not in path.name:
                wrong.append((name, "it was renamed or changed"))
            words = [str(approval.get(field)) for field in ("name", "role", "meaning", "decision")]
            say(f"          {words[0]}, {words[1]}: {words[2]} {words[3]}")
    if (run / "attestation.tsr").exists():
        say("note      there is a time stamp, which this script does not check; `validation verify` does")
    return wrong


def verify_edition(edition: Path, run: Path, trust: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return everything that is wrong with an edition of the documents of a run."""
    wrong: list[tuple[str, str]] = []
    try:
        wrong += check_files(edition)
        record = json.loads((edition / "edition.json").read_bytes())
        manifest = sha256_of(edition / "manifest.json")
        if record["run_manifest_sha256"] != sha256_of(run / "manifest.json"):
            wrong.append(("edition.json", "it is of another run"))
        attestation = edition / "attestation.dsse.json"
        if not attestation.exists():
            wrong.append((attestation.name, "NOT SIGNED: anyone could have made or changed this edition"))
        else:
            pem = (edition / "signer.pub.pem").read_bytes()
            if check_statement(attestation, attestation.name, pem, trust, manifest).get("edition") != record:
                wrong.append(("edition.json", "it is not the one that was signed"))
        for path in sorted((edition / "approvals").glob("*")):
            check_statement(path, path.name, None, trust, manifest)
    except InvalidSignature:
        wrong.append(("attestation.dsse.json", "a signature does not verify"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm) as problem:
        wrong.append(("edition.json", str(problem) or type(problem).__name__))
    return [(f"{edition.name}/{name}", what) for name, what in wrong]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Check the signed record of a validation run, offline.")
    parser.add_argument("run", nargs="?", type=Path, help="folder of the run; default: the one beside this script")
    parser.add_argument("--trust", type=Path, help="folder of public keys (*.pub.pem) that you hold from the signers")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    beside = sorted(path.parent for path in here.glob("*/manifest.json") if not (path.parent / "edition.json").exists())
    run = options.run or (beside[0] if len(beside) == 1 else None)
    if run is None or not run.is_dir():
        parser.error("name the folder of one run")
    pems = [path.read_bytes() for path in sorted(options.trust.glob("*.pub.pem"))] if options.trust else []
    if options.trust and not pems:
        parser.error("there is no *.pub.pem in the trust folder")
    trust = {key_id(pem): pem for pem in pems}
    wrong = verify(run, trust)
    for path in sorted(run.resolve().parent.glob("*/edition.json")):
        wrong += verify_edition(path.parent, run, trust)
    if not options.trust:
        say("note      identity not proven: keys inside the run were used; give --trust FOLDER to prove who signed")
    for name, what in sorted(set(wrong)):
        say(f"WRONG     {name}: {what}")
    say("INTACT: every file is what was signed." if not wrong else "NOT INTACT: do not rely on this record.")
    return 4 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
