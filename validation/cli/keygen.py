"""`validation keygen`: a key pair to sign with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click


@click.command("keygen")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("keys"), show_default=True)
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that encrypts the private key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, out: Path, ask: bool, as_json: bool) -> None:
    """Make an Ed25519 key pair for NAME, such as qa-lead: NAME.pem (private) and NAME.pub.pem.

    The private key stays with its holder. The public key goes to everyone who verifies, into their trust folder, by
    another way than the evidence itself. A passphrase may also come from VALIDATION_KEY_PASSPHRASE. Keys in hardware
    modules are made there and used by URI, see `validation sign --help`.
    """
    from validation.evidence.keys import PASSPHRASE_VARIABLE, generate_key

    passphrase = os.environ.get(PASSPHRASE_VARIABLE, "")
    if ask and not passphrase:
        passphrase = click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
    private, public, key = generate_key(name, out, passphrase=passphrase)
    if as_json:
        record = {"private": str(private), "public": str(public), "key_id": key.key_id, "encrypted": bool(passphrase)}
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(f"private key  {private}  (keep it; {'encrypted' if passphrase else 'NOT encrypted'}, mode 0600)")
    click.echo(f"public key   {public}  (give it to everyone who verifies)")
    click.echo(f"key id       {key.key_id}")
