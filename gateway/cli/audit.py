"""``wharfkeep audit``: the audit trail, beside a running server or without one."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.audit import Entry, Sought
    from gateway.store.chain import Break
    from gateway.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_PAGE = 500


@click.group()
def audit() -> None:
    """Search, verify and export what was decided, and why."""


def _filters(command: F) -> F:
    for option in (
        click.option("--until", metavar="TIME", help="Before this instant (RFC 3339)."),
        click.option("--since", metavar="TIME", help="From this instant on (RFC 3339)."),
        click.option("--kind", help="decision, approval, policy, switch, key, checkpoint, ..."),
        click.option("--outcome", help="For decisions: allow, ask or deny."),
        click.option("--tool", help="The tool, as in sandbox.bash."),
        click.option("--actor", help="The id of whoever acted."),
        click.option("--session", help="The id of the session."),
        click.option("--workspace", help="The id of the workspace."),
    ):
        command = option(command)
    return command


@audit.command("search")
@_filters
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="How many at most.",
)
@data_dir_option
@config_option
@json_option
def search_records(
    limit: int, data_dir: Path | None, file: Path | None, as_json: bool, **wanted: str | None
) -> None:
    """List records, newest first."""
    sought = _sought(wanted)

    async def search(store: "Store") -> "list[Entry]":
        return [entry async for entry in _entries(store, sought, limit=limit, order="desc")]

    found = in_store(settings(file, data_dir), search)
    if as_json:
        from gateway.api.audit import present

        click.echo(json.dumps([present(entry) for entry in found]))
        return
    for entry in found:
        click.echo(_line(entry))


@audit.command("export")
@_filters
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["jsonl", "ocsf"]),
    default="jsonl",
    show_default=True,
    help="As the API shows records, or as OCSF events.",
)
@data_dir_option
@config_option
def export_records(
    output: Path | None,
    shape: str,
    data_dir: Path | None,
    file: Path | None,
    **wanted: str | None,
) -> None:
    """Write records, oldest first, one JSON object a line."""
    sought = _sought(wanted)
    show = _shape(shape)

    async def export(store: "Store") -> int:
        count = 0
        with ExitStack() as stack:
            target: TextIO = sys.stdout
            if output is not None:
                target = stack.enter_context(output.open("x", encoding="utf-8"))
            async for entry in _entries(store, sought, limit=None, order="asc"):
                target.write(json.dumps(show(entry)) + "\n")
                count += 1
        return count

    try:
        count = in_store(settings(file, data_dir), export)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"{count} records exported.", err=True)


@audit.command("verify")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="An earlier export or a delivered file: all that it holds must still be there.",
)
@data_dir_option
@config_option
@json_option
def verify_records(
    against: Path | None, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """Compute every chain again, and hold it against the checkpoints.

    Exit status 1, and where, if anything was changed, dropped, moved or put in.
    """

    async def verify(store: "Store") -> "tuple[dict[str, int], list[Break]]":
        seen, breaks = await _verify(store, quiet=as_json or not sys.stderr.isatty())
        if against is not None:
            breaks += await _compare(store, against, seen)
        return seen, breaks

    seen, breaks = in_store(settings(file, data_dir), verify)
    if as_json:
        places = [{"chain": b.chain, "n": b.n, "problem": b.problem} for b in breaks]
        click.echo(json.dumps({"valid": not breaks, **seen, "breaks": places}))
    else:
        for found in breaks:
            click.echo(
                f"{click.style('broken', fg='red')} {found.chain} {found.n}: {found.problem}"
            )
        told = ", ".join(f"{count} {name}" for name, count in seen.items())
        state = click.style("broken", fg="red") if breaks else click.style("intact", fg="green")
        click.echo(f"{state}: {told}")
    if breaks:
        sys.exit(1)


async def _verify(store: "Store", *, quiet: bool) -> "tuple[dict[str, int], list[Break]]":
    from gateway.store.verification import Position

    seen: dict[str, int] = dict.fromkeys(("records", "chains", "checkpoints"), 0)
    breaks: list[Break] = []
    with ExitStack() as stack:
        bar = None
        if not quiet:
            shown = click.progressbar(
                length=await store.audit.count(), label="Verifying", file=sys.stderr
            )
            bar = stack.enter_context(shown)
        position: Position | None = Position()
        while position is not None:
            step = await store.audit.verify(position)
            position = step.next
            breaks += step.breaks
            for name in seen:
                seen[name] += getattr(step, name)
            if bar is not None:
                bar.update(step.records)
    return seen, breaks


async def _compare(store: "Store", file: Path, seen: dict[str, int]) -> "list[Break]":
    """What an exported file holds and the trail does not."""
    from gateway.store.audit import needed
    from gateway.store.chain import Break
    from gateway.store.checkpoints import Signer
    from gateway.store.exported import read_claims

    breaks: list[Break] = []
    seen["compared"] = 0
    with file.open("rb") as lines:
        for claims, problems in read_claims(lines, Signer.of(needed(store.audit.key)).public_key):
            breaks += problems
            seen["compared"] += len(claims)
            for chain, n in await store.audit.differences(claims):
                breaks.append(Break(chain, n, f"record {n} is not the one in {file.name}"))
    return breaks


async def _entries(
    store: "Store", sought: "Sought", *, limit: int | None, order: Any
) -> "AsyncIterator[Entry]":
    """Yield what is found, page by page."""
    cursor = None
    left = limit
    while left is None or left > 0:
        most = _PAGE if left is None else min(left, _PAGE)
        page = await store.audit.search(sought, limit=most, order=order, cursor=cursor)
        for entry in page.rows:
            yield entry
        cursor = page.next
        left = None if left is None else left - len(page.rows)
        if cursor is None:
            return


def _sought(wanted: dict[str, str | None]) -> "Sought":
    from gateway.clock import parse_rfc3339
    from gateway.store.audit import Sought
    from gateway.store.records import Range

    instants: dict[str, int | None] = {}
    for name in ("since", "until"):
        text = wanted.pop(name)
        try:
            instants[name] = None if text is None else parse_rfc3339(text)
        except ValueError as error:
            raise click.BadParameter(f"--{name}: must be an RFC 3339 time") from error
    return Sought(**wanted, created=Range(gte=instants["since"], lt=instants["until"]))


def _shape(name: str) -> "Callable[[Entry], dict[str, Any]]":
    if name == "ocsf":
        from gateway import __version__
        from gateway.policy.ocsf import to_ocsf

        return lambda entry: to_ocsf(entry, product_version=__version__)
    from gateway.api.audit import present

    return present


def _line(entry: "Entry") -> str:
    from gateway.clock import rfc3339

    record = entry.record
    rule = record.body.get("rule", "")
    return (
        f"{rfc3339(record.at)}  {record.kind:<10}  {record.outcome or '-':<5}"
        f"  {record.tool or '-':<24}  {record.actor or '-'}  {rule}"
    )
