"""``wharfkeep policy``: policies checked, tried out, compared, and those of a running gateway."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.options import (
    config_option,
    data_dir_option,
    in_store,
    json_option,
    key_option,
    settings,
    url_option,
)
from gateway.cli.switches import enforcement, switch
from gateway.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from gateway.policy.replay import Past
    from gateway.policy.ruleset import Rules
    from gateway.policy.situation import Situation
    from gateway.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_COLOURS = {"allow": "green", "ask": "yellow", "deny": "red", "depends": "cyan"}


def _directory(name: str) -> Callable[[F], F]:
    kind = click.Path(path_type=Path, file_okay=False)
    return click.argument(name, metavar=name.upper(), type=kind)


@click.group()
def policy() -> None:
    """Check, try out and compare policies; stop what must not run."""


for _group in (switch, enforcement):
    policy.add_command(_group)


@policy.command("check")
@_directory("directory")
@json_option
def check_policies(directory: Path, as_json: bool) -> None:
    """Say what is wrong with the policies in DIRECTORY.

    That is what makes them unusable, and rules that no call can ever meet. Exit status 1 if there
    is anything; warnings alone are none.
    """
    from gateway.policy.bundle import read_bundle
    from gateway.policy.cases import read_cases
    from gateway.policy.cedar import PolicyInvalid
    from gateway.policy.lint import find_oddities
    from gateway.rulebook import read_directory

    problems: list[str] = []
    warnings: list[str] = []
    try:
        files = read_directory(directory)
        rules = read_bundle(files)
        read_cases(files)
        problems = find_oddities(rules)
        warnings = list(rules.warnings)
    except PolicyInvalid as error:
        problems = list(error.problems)
    if as_json:
        click.echo(json.dumps({"problems": problems, "warnings": warnings}))
    else:
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo("The policies are good.")
    if problems:
        sys.exit(1)


@policy.command("test")
@_directory("directory")
@json_option
def test_policies(directory: Path, as_json: bool) -> None:
    """Run the cases in DIRECTORY/tests. Exit status 1 if one fails, or if there is none."""
    from gateway.policy.cases import read_cases, run_case
    from gateway.policy.cedar import PolicyInvalid
    from gateway.rulebook import read_directory

    rules = _load(directory)
    try:
        cases = read_cases(read_directory(directory))
    except PolicyInvalid as error:
        raise ConfigError(str(error)) from error
    results = [run_case(rules, place, case) for place, case in cases]
    failed = [result for result in results if result.failures]
    if as_json:
        shown = [
            {"file": each.place, "name": each.name, "failures": list(each.failures)}
            for each in results
        ]
        click.echo(json.dumps(shown))
    else:
        for result in failed:
            click.echo(f"{result.place}: {result.name}: {'; '.join(result.failures)}")
        click.echo(f"{len(results) - len(failed)} of {len(results)} cases pass.")
    if failed or not results:
        sys.exit(1)


@policy.command("explain")
@_directory("directory")
@click.argument("call", required=False, metavar="[CALL]")
@click.option("--tool", help="The tool, as policies name it, such as sandbox.bash.")
@click.option("--arguments", metavar="JSON", help="What it is called with.")
@click.option("--agent", help="The id or name of the agent.")
@click.option("--user", help="The id or e-mail address of the user.")
@click.option("--group", "groups", multiple=True, help="A group the user is in besides.")
@click.option("--approved-by", metavar="USER", help="Who approved the call.")
@json_option
def explain_call(directory: Path, call: str | None, as_json: bool, **given: Any) -> None:
    """Say which policies in DIRECTORY decide a call, and what would change that.

    CALL is JSON with the keys of a case, or `-` to read it from standard input; options win.
    """
    from gateway.policy.explain import explain
    from gateway.policy.situation import Unknown

    rules = _load(directory)
    try:
        explained = explain(rules, *_situation(call, given).facts(rules))
    except Unknown as error:
        raise InvalidRequest(str(error)) from error
    ruling = explained.ruling
    if as_json:
        click.echo(json.dumps(asdict(explained), default=sorted))
        return
    who = f" by {' or '.join(sorted(ruling.approvers))}" if ruling.approvers else ""
    click.echo(f"{_coloured(ruling.outcome)}{who}")
    if ruling.problem:
        click.echo(f"because {ruling.problem}")
    for reason in explained.reasons:
        rule = f", {reason.rule}" if reason.rule else ""
        click.echo(f"because {reason.id} ({reason.effect}, {reason.place}{rule})")
    if not explained.reasons and not ruling.problem:
        click.echo("because no policy permits it")
    for flip in explained.flips:
        click.echo(f"if {flip.change}: {_coloured(flip.outcome)}")


@policy.command("review")
@_directory("directory")
@click.option("--tool", help="Only this tool.")
@json_option
def review_policies(directory: Path, tool: str | None, as_json: bool) -> None:
    """Show who can call what under the policies in DIRECTORY.

    One agent of each class and one of none, for one user of each group and one of none. `depends`
    means: on the arguments, the session or the time.
    """
    from gateway.policy.review import review

    cells = [cell for cell in review(_load(directory)) if tool in (None, cell.tool)]
    if as_json:
        click.echo(json.dumps([asdict(cell) | {"verdict": cell.verdict} for cell in cells]))
        return
    for (agent, user), row in groupby(cells, lambda cell: (cell.agent, cell.user)):
        click.echo(f"{agent}, for {user}:")
        for cell in row:
            several = f" ({', '.join(cell.outcomes)})" if len(cell.outcomes) > 1 else ""
            click.echo(f"  {cell.tool:<32} {_coloured(cell.verdict)}{several}")


@policy.command("diff")
@_directory("old")
@_directory("new")
@json_option
def diff_policies(old: Path, new: Path, as_json: bool) -> None:
    """Show which calls NEW decides otherwise than OLD. Exit status 1 if there are any."""
    from gateway.policy.diff import diff

    changes = diff(_load(old), _load(new))
    if as_json:
        click.echo(json.dumps([asdict(change) for change in changes]))
    else:
        for change in changes:
            state = {name: value for name, value in change.session.items() if value}
            session = f" in a session with {json.dumps(state)}" if state else ""
            click.echo(
                f"{change.agent}, for {change.user}: {change.tool} {json.dumps(change.arguments)}"
                f"{session}: {_coloured(change.before)} -> {_coloured(change.after)}"
            )
        click.echo(f"{len(changes)} changes.")
    if changes:
        sys.exit(1)


@policy.command("replay")
@_directory("directory")
@click.option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="How many decisions.",
)
@data_dir_option
@config_option
@json_option
def replay_decisions(
    directory: Path, last: int, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """Make the last decisions of the audit trail again, under the policies in DIRECTORY.

    Only those that come out otherwise are shown. Exit status 1 if there are any.
    """
    from gateway.past import collect_decisions
    from gateway.policy.replay import replay

    rules = _load(directory)

    async def collect(store: "Store") -> "list[Past]":
        return await collect_decisions(store, limit=last)

    found = [replay(rules, past) for past in in_store(settings(file, data_dir), collect)]
    flips = [each for each in found if each.flips]
    unsure = sum(each.redacted for each in found)
    if as_json:
        shown = [
            {
                "record": each.past.id,
                "session": each.past.session,
                "tool": each.past.body["tool"],
                "actor": each.past.body["actor"]["id"],
                "before": each.before,
                "after": each.after,
                "policies": list(each.policies),
                "redacted": each.redacted,
            }
            for each in flips
        ]
        click.echo(json.dumps({"replayed": len(found), "redacted": unsure, "flips": shown}))
    else:
        for each in flips:
            tool, actor = each.past.body["tool"], each.past.body["actor"]["id"]
            about = f"{each.past.session} {tool['server']}.{tool['name']} for {actor}"
            doubt = " (from redacted arguments)" if each.redacted else ""
            click.echo(f"{about}: {_coloured(each.before)} -> {_coloured(each.after)}{doubt}")
        click.echo(f"{len(flips)} of {len(found)} decisions flip.")
        if unsure:
            click.echo(f"For {unsure} only redacted arguments were left.")
    if flips:
        sys.exit(1)


@policy.command("status")
@url_option
@key_option
@json_option
def show_status(url: str, key: str, as_json: bool) -> None:
    """Show which policies are in force in a running gateway."""
    from gateway.remote import ask

    _tell(ask(url, key, "policy"), as_json)


@policy.command("reload")
@url_option
@key_option
@json_option
def reload_policies(url: str, key: str, as_json: bool) -> None:
    """Have a running gateway look at its policies now. Exit status 1 if it cannot use them."""
    from gateway.remote import ask

    status = ask(url, key, "policy/reload", method="POST")
    _tell(status, as_json)
    if status["problems"]:
        sys.exit(1)


def _tell(status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(status))
        return
    click.echo(f"{status['digest']}: {status['policies']} policies, {status['tools']} tools")
    if not status["enforced"]:
        lifted = status["unenforced"]
        click.echo(f"NOT ENFORCED until {lifted['until']}: {lifted['reason']}")
    _lines("warning: ", status["warnings"])
    _lines("not in force: ", status["problems"])


def _lines(prefix: str, lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"{prefix}{line}")


def _situation(call: str | None, given: dict[str, Any]) -> "Situation":
    """What the argument and the options say together."""
    from gateway.policy.cedar import PolicyInvalid
    from gateway.policy.situation import Situation
    from gateway.policy.vocabulary import validated

    said = _object("CALL", sys.stdin.read() if call == "-" else call)
    for name in ("tool", "agent", "user"):
        if given[name] is not None:
            said[name] = given[name]
    if given["arguments"] is not None:
        said["arguments"] = _object("--arguments", given["arguments"])
    if given["groups"]:
        said["groups"] = list(given["groups"])
    if given["approved_by"] is not None:
        said["approval"] = {"by": given["approved_by"]}
    try:
        return validated(Situation, said, "the call")
    except PolicyInvalid as error:
        raise InvalidRequest(str(error)) from error


def _object(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidRequest(f"{name}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name}: must be a JSON object")
    return value


def _coloured(outcome: str) -> str:
    return click.style(outcome, fg=_COLOURS.get(outcome))


def _load(directory: Path) -> "Rules":
    """The set in a directory."""
    from gateway.policy.bundle import read_bundle
    from gateway.policy.cedar import PolicyInvalid
    from gateway.rulebook import read_directory

    try:
        return read_bundle(read_directory(directory))
    except PolicyInvalid as error:
        raise ConfigError(str(error)) from error
