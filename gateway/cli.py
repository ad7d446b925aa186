"""The command line. Commands read options and print; what they do lives in other rooms.

Every import that takes time is inside the command that needs it, so that ``--help`` and shell
completion answer at once. A `ConfigError` ends as one line with exit status 2, every other error
of the gateway's tree as one line with exit status 1.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway import __version__
from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.store.records import KeyRow
    from gateway.store.store import Store

T = TypeVar("T")


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


def _address(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    host, _, port = (value or "").rpartition(":")
    if value is not None and not (host and port.isdigit() and int(port) <= 65535):  # noqa: PLR2004 - the last port
        raise click.BadParameter("must be HOST:PORT")
    return value


_config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="WHARFKEEP_CONFIG",
    metavar="FILE",
    help="The configuration, a TOML file.",
)
_data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where everything durable is kept.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _settings(file: Path | None, data_dir: Path | None, listen: str | None = None) -> "Config":
    from gateway.config import load

    config = load(file)
    changes: dict[str, Any] = {}
    if data_dir is not None:
        changes["data_dir"] = data_dir.absolute()
    if listen is not None:
        changes["server"] = config.server.model_copy(update={"listen": listen})
    return config.model_copy(update=changes)


@wharfkeep.command()
@click.option(
    "--listen", metavar="HOST:PORT", callback=_address, help="The address; port 0 takes a free one."
)
@_data_dir_option
@_config_option
def serve(listen: str | None, data_dir: Path | None, file: Path | None) -> None:
    """Serve the API until SIGTERM or Ctrl-C."""
    config = _settings(file, data_dir, listen)

    from gateway.server import run

    run(config)


@wharfkeep.command()
@click.option("--keep", is_flag=True, help="Leave the demo's data behind and say where it is.")
@_config_option
def demo(keep: bool, file: Path | None) -> None:
    """Run the quickstart through the official SDK.

    It starts a server of its own and needs no key: without a configured model a scripted one
    answers.
    """
    config = _settings(file, None)

    from gateway.demo import run

    sys.exit(run(config, keep=keep))


@wharfkeep.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.argument("name", default="default")
@_data_dir_option
@_config_option
@_json_option
def create_key(name: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Create an API key and print it, once.

    Only its SHA-256 is stored. NAME is for people; keys may share one.
    """
    from gateway.clock import SystemClock
    from gateway.keys import digest, hint, new_key

    key = new_key()

    async def create(store: "Store") -> "KeyRow":
        return await store.keys.create(
            workspace=await store.keys.default_workspace(),
            name=name,
            sha256=digest(key),
            hint=hint(key),
            now=SystemClock().now(),
        )

    row = _in_store(_settings(file, data_dir), create)
    click.echo(json.dumps({**_key_body(row), "key": key}) if as_json else key)
    if not as_json:
        click.echo(f"Keep it: only its hash is stored. Its id is {row.id}.", err=True)


@keys.command("list")
@_data_dir_option
@_config_option
@_json_option
def list_keys(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """List the API keys, revoked ones too."""

    async def read(store: "Store") -> "list[KeyRow]":
        return await store.keys.list(workspace=await store.keys.default_workspace())

    bodies = [_key_body(row) for row in _in_store(_settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        state = f"revoked {body['revoked_at']}" if body["revoked_at"] else "active"
        click.echo(f"{body['id']}  ...{body['hint']}  {body['name']:<20}  {state}")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_data_dir_option
@_config_option
@_json_option
def revoke_key(key_id: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Revoke an API key.

    ID is the id that `keys list` shows. The key is refused from the next request on.
    """
    from gateway.clock import SystemClock

    async def revoke(store: "Store") -> "KeyRow":
        return await store.keys.revoke(id=key_id, now=SystemClock().now())

    body = _key_body(_in_store(_settings(file, data_dir), revoke))
    click.echo(json.dumps(body) if as_json else f"Revoked {key_id}.")


def _key_body(row: "KeyRow") -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "workspace_id": row.workspace,
        "created_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at) if row.revoked_at is not None else None,
    }


def _in_store(config: "Config", work: "Callable[[Store], Awaitable[T]]") -> T:
    """Open the store beside a running server, do one thing, close it."""
    import anyio

    from gateway.clock import SystemClock
    from gateway.store.store import open_store

    async def body() -> T:
        store = await open_store(
            config.store.url, config.data_dir, clock=SystemClock(), serving=False
        )
        try:
            return await work(store)
        finally:
            await store.aclose()

    return anyio.run(body)


@wharfkeep.group()
def environments() -> None:
    """Look after environments of a running gateway."""


@environments.command("build")
@click.argument("environment", metavar="ID")
@click.option("--retry", is_flag=True, help="Begin again if it failed.")
@click.option(
    "--url",
    default="http://127.0.0.1:8400",
    envvar="WHARFKEEP_URL",
    show_default=True,
    help="Where the gateway is.",
)
@click.option("--key", envvar="WHARFKEEP_API_KEY", required=True, help="An API key.")
@_json_option
def build_environment(environment: str, retry: bool, url: str, key: str, as_json: bool) -> None:
    """Show how its packages are installed, to the end.

    Exit status 1 if that failed. With --json each state is a line, with what is new of the log.
    """
    from gateway.progress import follow

    build: dict[str, Any] = {}
    for build in follow(url, key, environment, retry=retry):
        if as_json:
            click.echo(json.dumps(build))
        else:
            for line in build["lines"]:
                click.echo(line["text"])
    if build["status"] == "failed":
        raise GatewayError(build["reason"])
    if not as_json:
        click.echo("The packages are ready.", err=True)


@wharfkeep.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check")
@_config_option
def check_config(file: Path | None) -> None:
    """Say what is wrong with the configuration."""
    _settings(file, None)
    click.echo("The configuration is good.")


@config.command("show")
@_data_dir_option
@_config_option
@_json_option
def show_config(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Print the configuration in force, without its secrets."""
    from gateway.effective import shown, toml

    document = shown(_settings(file, data_dir))
    click.echo(json.dumps(document) if as_json else toml(document), nl=as_json)


@config.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from gateway.reference import schema

    click.echo(schema(), nl=False)


@wharfkeep.group()
def db() -> None:
    """Look after the database's schema."""


@db.command("current")
@_data_dir_option
@_config_option
@_json_option
def current_revision(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Print the stored and the expected revision."""
    config = _settings(file, data_dir)

    from gateway.store.revision import look
    from gateway.store.schema import REVISION
    from gateway.store.store import DATABASE

    found = look(config.store.url, config.data_dir / DATABASE)
    if as_json:
        click.echo(json.dumps({"stored": found, "expected": REVISION}))
    else:
        click.echo(f"stored {found or 'none'}\nexpected {REVISION}")


@db.command("upgrade")
@_data_dir_option
@_config_option
def upgrade_schema(data_dir: Path | None, file: Path | None) -> None:
    """Bring the schema to the expected revision.

    `serve` does the same when it starts.
    """

    async def nothing_more(_store: "Store") -> None: ...

    _in_store(_settings(file, data_dir), nothing_more)


@wharfkeep.command()
@_data_dir_option
@_config_option
@_json_option
def doctor(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Say what works on this machine.

    Each thing that does not work comes with what to do about it. Exit status 1 when the gateway
    cannot do without it.
    """
    from dataclasses import asdict

    from gateway.doctor import examine

    findings = examine(_settings(file, data_dir))
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
