"""`validation sign`: a named person's approval of a run, a late signature, or a time stamp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from validation.errors import UsageProblem


@click.command("sign")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", metavar="FILE|URI", help="Private key file, or URI of a module (hsm:2?label=...).")
@click.option("--public-key", type=click.Path(path_type=Path, exists=True), help="Public half, needed for a URI.")
@click.option("--name", help="Printed name of the person who signs.")
@click.option("--role", help="Role, such as reviewer or head of QA.")
@click.option("--meaning", help='What the signature means, such as "I approve the report".')
@click.option("--decision", type=click.Choice(["accept", "reject"]), help="The final decision, if this is one.")
@click.option("--attest", is_flag=True, help="Sign a run that was closed without a key, as the one who ran it.")
@click.option("--timestamp-request", type=click.Path(path_type=Path), help="Write an RFC 3161 request to this file.")
@click.option("--timestamp-token", type=click.Path(path_type=Path, exists=True), help="Attach the authority's answer.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the root certificate (*.tsa.pem) of the time-stamp authority.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    run: Path,
    key: str | None,
    public_key: Path | None,
    name: str | None,
    role: str | None,
    meaning: str | None,
    decision: Literal["accept", "reject"] | None,
    attest: bool,
    timestamp_request: Path | None,
    timestamp_token: Path | None,
    trust: Path | None,
    as_json: bool,
) -> None:
    """Add a signature to RUN; nothing that was signed before changes.

    A person approves with --key, --name, --role, --meaning and, for the final decision, --decision. A signature records
    who, when, in which role and with which meaning (it supports the elements of 21 CFR 11.50). A time stamp needs an
    authority: write a request, let the authority answer it, attach the answer.
    """
    _one_task(attest=attest, request=timestamp_request, token=timestamp_token, approval=name or role or meaning)
    if timestamp_request is not None:
        from validation.evidence.timestamp import write_request

        write_request(run, timestamp_request)
        record: dict[str, Any] = {"timestamp_request": str(timestamp_request)}
        text = f"request written: {timestamp_request}; attach the answer with --timestamp-token"
    elif timestamp_token is not None:
        record, text = _stamp(run, timestamp_token, trust)
    elif attest:
        from validation.evidence.attestation import close
        from validation.evidence.keys import load_signer

        closure = close(run, load_signer(_required("key", key), public_key=public_key))
        record = {"manifest_sha256": closure.manifest_sha256, "key_id": closure.key_id}
        text = f"signed: manifest {closure.manifest_sha256[:16]}…, key {closure.key_id[:16]}…"
    else:
        from validation.evidence.approvals import approve
        from validation.evidence.keys import load_signer

        given = {"name": name, "role": role, "meaning": meaning}
        fields = {option: _required(option, value) for option, value in given.items()}
        signer = load_signer(_required("key", key), public_key=public_key)
        approval = approve(run, signer, **fields, decision=decision or "")
        record = approval.to_dict()
        text = f"{approval.name}, {approval.role}: {approval.meaning} ({approval.decision or 'no decision'})\n"
        text += f"recorded in approvals/{approval.file}"
    click.echo(json.dumps(record, indent=2) if as_json else text)


def _stamp(run: Path, token: Path, trust: Path | None) -> tuple[dict[str, Any], str]:
    from validation.evidence.timestamp import attach_token, read_roots

    stamp = attach_token(run, token, roots=read_roots(trust) if trust else [])
    record = {"time": stamp.time, "authority_proven": stamp.authority_proven}
    return record, f"time stamp attached: {stamp.time}" + ("" if stamp.authority_proven else " (authority not proven)")


def _one_task(**tasks: Any) -> None:
    asked = [name for name, value in tasks.items() if value]
    if len(asked) > 1:
        raise UsageProblem(
            "one call does one thing: approve, --attest, --timestamp-request or --timestamp-token.",
            code="EVD-055",
            where="validation sign",
            action="Call it once for each.",
        )


def _required(option: str, value: str | None) -> str:
    if not value:
        raise UsageProblem(
            f"--{option} is missing.",
            code="EVD-050",
            where="validation sign",
            why="A signature shows who signed, in which role, and what it means.",
            action=f"Add --{option}; `validation keygen` makes a key.",
        )
    return value
