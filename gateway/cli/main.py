"""The command line. Commands read options and print; what they do lives in other rooms.

Every import that takes time is inside the command that needs it, so that ``--help`` and shell
completion answer at once. A `ConfigError` ends as one line with exit status 2, every other error
of the gateway's tree as one line with exit status 1.
"""

import json
import os
import sys
from pathlib import Path

import click

from gateway import __version__
from gateway.cli.accounts import accounts
from gateway.cli.approvals import approvals
from gateway.cli.audit import audit
from gateway.cli.config import config
from gateway.cli.db import db
from gateway.cli.environments import environments
from gateway.cli.keys import keys
from gateway.cli.options import address, config_option, data_dir_option, json_option, settings
from gateway.cli.policy import policy
from gateway.cli.users import users
from gateway.cli.workspaces import workspaces
from gateway.errors import ConfigError, GatewayError


def main() -> None:
    """Run the command line and exit."""
    try:
        wharfkeep(prog_name="wharfkeep")
    except GatewayError as error:
        click.echo(f"wharfkeep: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def wharfkeep(context: click.Context) -> None:
    """A self-hosted gateway that speaks the Claude Managed Agents API."""
    if os.environ.get("NO_COLOR"):
        context.color = False


for _group in (
    accounts,
    approvals,
    audit,
    config,
    db,
    environments,
    keys,
    policy,
    users,
    workspaces,
):
    wharfkeep.add_command(_group)


@wharfkeep.command()
@click.option(
    "--listen", metavar="HOST:PORT", callback=address, help="The address; port 0 takes a free one."
)
@data_dir_option
@config_option
def serve(listen: str | None, data_dir: Path | None, file: Path | None) -> None:
    """Serve the API until SIGTERM or Ctrl-C."""
    config = settings(file, data_dir, listen)

    from gateway.server import run

    run(config)


@wharfkeep.command()
@click.option("--keep", is_flag=True, help="Leave the demo's data behind and say where it is.")
@config_option
def demo(keep: bool, file: Path | None) -> None:
    """Run the quickstart through the official SDK.

    It starts a server of its own and needs no key: without a configured model a scripted one
    answers.
    """
    config = settings(file, None)

    from gateway.demo import run

    sys.exit(run(config, keep=keep))


@wharfkeep.command()
@data_dir_option
@config_option
@json_option
def doctor(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Say what works on this machine.

    Each thing that does not work comes with what to do about it. Exit status 1 when the gateway
    cannot do without it.
    """
    from dataclasses import asdict

    from gateway.doctor import examine

    findings = examine(settings(file, data_dir))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            state, colour = ("ok", "green") if finding.works else ("missing", "red")
            if not finding.works and not finding.required:
                state, colour = "without", "yellow"
            click.echo(f"{click.style(f'{state:<8}', fg=colour)} {finding.name}: {finding.detail}")
            if finding.remedy:
                click.echo(f"{'':<8} {finding.remedy}")
    if any(finding.required and not finding.works for finding in findings):
        sys.exit(1)


@wharfkeep.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell completion script.

    Use it with: eval "$(wharfkeep completion bash)"
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(wharfkeep, {}, "wharfkeep", "_WHARFKEEP_COMPLETE").source())


@wharfkeep.command(hidden=True)
@click.argument("root", type=click.Path(path_type=Path, file_okay=False), default=Path())
def reference(root: Path) -> None:
    """Write the generated files of the checkout at ROOT."""
    from gateway.reference import pages

    for path, text in pages(wharfkeep).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
