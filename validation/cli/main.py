"""`validation <verb>`: the table of verbs, exit codes, and how problems are shown.

Verbs are listed with their one-line help in ``VERBS``, so that `validation --help` imports none of them.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import click

from validation import __version__
from validation.errors import ValidationProblem

# verb -> (module under validation.cli, one line of help), grouped by what a person is doing
VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Prepare": {
        "init": ("init", "Begin a study folder for a type of claim"),
        "schema": ("schema", "JSON Schema of protocol and study files, for editors"),
        "check": ("check", "Errors and gaps of a protocol, before any data are opened"),
        "gaps": ("gaps", "What a pathway asks for the claim, and what of it is missing"),
        "lock": ("lock", "Fix the protocol; later edits are refused"),
        "amend": ("amend", "Record a new version of a locked protocol, with the reason"),
        "deviate": ("deviate", "Record a departure from the protocol"),
        "import": ("imports", "Health records of MEDS, OMOP or FHIR as plain tables, split by patient"),
        "seal": ("seal", "Fix the holdout by the hashes of its files"),
    },
    "Run": {
        "run": ("run", "Open the sealed cohort, measure, judge, write and sign the record"),
        "resume": ("resume", "Go on with an interrupted run"),
        "status": ("status", "Where a study or a run stands"),
        "compare": ("compare", "Models side by side: which is fit for which purpose"),
        "judge": ("judge", "Apply criteria to stored measurements again, without the model"),
    },
    "Evidence": {
        "sign": ("sign", "Approve a run as a named person, or time-stamp it"),
        "verify": ("verify", "Is a run or package what was signed, and do its numbers follow from its data"),
        "render": ("render", "The documents of a run again, with what persons wrote since"),
        "package": ("package", "One archive with the run and the means to check it"),
        "diff": ("diff", "What differs between two runs, or two versions of a protocol"),
        "serve": ("serve", "Look at a run, or at a folder of studies, in a browser on this machine"),
    },
    "Change": {
        "impact": ("impact", "What must be done again after a change"),
        "revalidate": ("revalidate", "A new cohort or scanner against a signed baseline: continue, restrict or hold"),
        "plan": ("plan", "The change control plan and the monitoring plan, as documents"),
        "execute": ("execute", "A candidate model under the change protocol: within or outside, with the clause"),
        "monitor": ("monitor", "A period's cases against the indicators, on a signed log"),
    },
    "Readers": {"readers": ("readers", "Reader studies: plan, size, simulate, schedule, analyse")},
    "At the desk (exploratory, never evidence)": {
        "measure": ("measure", "Any metric on plain files"),
        "shift": ("shift", "Does a new cohort differ from a baseline, or is it equivalent within a margin"),
        "fairness": ("fairness", "Any metric by any group, and the gaps with simultaneous intervals"),
    },
    "Site": {"pacs": ("pacs", "A picture archive: pull a cohort, export, push, and check what it keeps")},
    "About": {
        "list": ("listing", "What is there: metrics, summaries, claims, protocols, pathways"),
        "explain": ("explain", "What an error code means"),
        "doctor": ("doctor", "Is this machine ready"),
        "keygen": ("keygen", "Make a key pair to sign with"),
    },
}


class VerbTable(click.Group):
    """A command group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return [verb for group in VERBS.values() for verb in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its ``command``."""
        for group in VERBS.values():
            if cmd_name in group:
                command: click.Command = import_module(f"validation.cli.{group[cmd_name][0]}").command
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with a suggestion for a mistyped verb."""
        from difflib import get_close_matches

        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no verb {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by group, without importing them."""
        for title, group in VERBS.items():
            if group:
                with formatter.section(title):
                    formatter.write_dl([(verb, text) for verb, (_, text) in group.items()])


@click.command(cls=VerbTable, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="validation")
def cli() -> None:
    """Turn a locked protocol into regulatory evidence for generative medical models.

    Exit codes: 0 every confirmatory criterion met; 1 ran, but one failed or is inconclusive; 2 usage or protocol
    error; 3 data refused or run error, no verdict; 4 integrity or signature failure; 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=arguments, prog_name="validation", standalone_mode=False)
    except ValidationProblem as problem:
        _show(problem, as_json="--json" in arguments)
        sys.exit(problem.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted; `validation resume` continues a run where it stopped", err=True)
        sys.exit(130)
    except click.ClickException as refusal:
        refusal.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _show(problem: ValidationProblem, *, as_json: bool) -> None:
    """Print a problem: one block on the terminal, one object with ``--json`` (on standard output)."""
    if as_json:
        click.echo(json.dumps({"error": problem.to_dict()}, indent=2))
        return
    click.echo(f"error {problem.code}: {problem.what}", err=True)
    for label, text in (("where", problem.where), ("why", problem.why), ("do", problem.action)):
        if text:
            click.echo(f"  {label:>5}: {text}", err=True)
