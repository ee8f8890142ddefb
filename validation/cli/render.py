"""`validation render`: the documents of a closed run again, with what persons wrote since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from validation.cli.who import by_option

if TYPE_CHECKING:
    from validation.protocol.schema import Pathway


@click.command("render")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--pathway", "pathways", multiple=True, help="One pathway; may be given again. Those of the claim if omitted."
)
@click.option("--key", metavar="FILE|URI", help="Private key file, or URI of a module, that signs the edition.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, pathways: tuple[str, ...], key: str | None, actor: str, as_json: bool) -> int:
    """Render the documents of RUN as an edition in STUDY/editions, with the narrative blocks as they are now.

    The run stays as it was signed. Exit code 0 if the edition is final, 1 if something required is still open; the
    edition is complete and can be read in both cases.
    """
    from validation.dossier.edition import make_edition
    from validation.evidence.keys import load_signer

    signer = load_signer(key) if key else None
    folder, reasons = make_edition(run, cast("tuple[Pathway, ...]", pathways), by=actor, key=signer)
    if as_json:
        click.echo(json.dumps({"edition": str(folder), "signed": bool(key), "not_final": reasons}, indent=2))
        return 1 if reasons else 0
    click.echo(f"edition    {folder}")
    for path in sorted((folder / "dossier").iterdir()):
        click.echo(f"documents  {len(list(path.glob('*.pdf')))} of {path.name}; begin with {path / 'index.pdf'}")
    for reason in reasons:
        click.echo(f"open       {reason}")
    if not key:
        click.echo("not signed: give --key, or approve it with `validation sign`", err=True)
    click.echo("final: nothing required is open" if not reasons else f"NOT FINAL: {len(reasons)} thing(s) are open")
    return 1 if reasons else 0
