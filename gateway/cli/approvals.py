"""``wharfkeep approvals``: the calls of a running gateway that wait for a person."""

import json
from collections.abc import Iterator
from typing import Any

import click

from gateway.cli.options import json_option, key_option, url_option
from gateway.errors import GatewayError

_WATCH_SECONDS = 1.0
_PAGE = 100


@click.group()
def approvals() -> None:
    """List and answer the calls that wait for a person."""


@approvals.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that need no answer any more.")
@url_option
@key_option
@json_option
def list_approvals(every: bool, url: str, key: str, as_json: bool) -> None:
    """List the calls that wait, newest first."""
    found = list(_found(url, key, None if every else "pending"))
    if as_json:
        click.echo(json.dumps(found))
        return
    for approval in found:
        who = f"for {approval['acting_for']}"
        click.echo(f"{approval['id']}  {approval['state']:<9}  {approval['tool']:<24}  {who}")


@approvals.command("show")
@click.argument("approval", metavar="ID")
@url_option
@key_option
@json_option
def show_approval(approval: str, url: str, key: str, as_json: bool) -> None:
    """Show what is asked, with its arguments, and what became of it."""
    found = _get(url, key, approval)
    click.echo(json.dumps(found) if as_json else _describe(found))


@approvals.command("approve")
@click.argument("approval", metavar="ID")
@url_option
@key_option
@json_option
def approve_call(approval: str, url: str, key: str, as_json: bool) -> None:
    """Let the call run, once.

    Whether you may is for the policies to say.
    """
    answered = _answer(url, key, approval, {"decision": "approve"})
    click.echo(json.dumps(answered) if as_json else f"Approved {approval}.")


@approvals.command("deny")
@click.argument("approval", metavar="ID")
@click.option("--message", help="Why, for the model to read.")
@url_option
@key_option
@json_option
def deny_call(approval: str, message: str | None, url: str, key: str, as_json: bool) -> None:
    """Refuse the call; the session goes on without it."""
    answered = _answer(url, key, approval, _denial(message))
    click.echo(json.dumps(answered) if as_json else f"Denied {approval}.")


@approvals.command("answer")
@click.argument("approval", metavar="[ID]", required=False)
@url_option
@key_option
def answer_calls(approval: str | None, url: str, key: str) -> None:
    """Go through the calls that wait, or one of them, and ask for each."""
    if approval is not None:
        _put(url, key, _get(url, key, approval))
        return
    waiting = list(_found(url, key, "pending"))
    for each in reversed(waiting):
        _put(url, key, each)
    if not waiting:
        click.echo("No call waits.")


@approvals.command("watch")
@url_option
@key_option
def watch_calls(url: str, key: str) -> None:
    """Ask for each call as it comes, until Ctrl-C."""
    from time import sleep

    click.echo("Waiting for calls to answer; Ctrl-C ends.", err=True)
    seen: set[str] = set()
    while True:
        new = [each for each in _found(url, key, "pending") if each["id"] not in seen]
        for each in reversed(new):
            seen.add(each["id"])
            _put(url, key, each)
        if not new:
            sleep(_WATCH_SECONDS)


def _put(url: str, key: str, approval: dict[str, Any]) -> None:
    """Show a call and take the answer from the terminal."""
    click.echo(_describe(approval))
    choice = click.prompt(
        "Approve this call? [y]es, [n]o, [s]kip",
        type=click.Choice(["y", "n", "s"]),
        show_choices=False,
    )
    if choice == "s":
        return
    body: dict[str, Any] = {"decision": "approve"}
    if choice == "n":
        body = _denial(click.prompt("Why, for the model", default="", show_default=False))
    try:
        answered = _answer(url, key, approval["id"], body)
    except GatewayError as error:
        # Somebody else may have been faster, or has to do it; the next call is another matter.
        click.echo(click.style(str(error), fg="red"), err=True)
    else:
        click.echo(f"{answered['state'].capitalize()}.")


def _denial(message: str | None) -> dict[str, Any]:
    return {"decision": "deny", "message": message} if message else {"decision": "deny"}


def _describe(approval: dict[str, Any]) -> str:
    from gateway.wire.legible import legible

    who = " or ".join(approval["approvers"])
    if approval["second_person"]:
        who = f"{who + ', ' if who else ''}not {approval['acting_for']}"
    facts = {
        "id": approval["id"],
        "state": approval["state"],
        "for": approval["acting_for"],
        "session": approval["session_id"],
        "asked by": ", ".join(approval["policies"]) or "the agent's toolset",
        "approvers": who or "anybody",
        "until": approval["expires_at"] or "it is answered",
        "answered": f"{approval['approver'] or 'nobody'}, {approval['decided_at']}",
    }
    if approval["decided_at"] is None:
        del facts["answered"]
    lines = [click.style(approval["tool"], bold=True), legible(approval["arguments"])]
    return "\n".join([*lines, *(f"  {name:<10} {text}" for name, text in facts.items())])


def _found(url: str, key: str, state: str | None) -> Iterator[dict[str, Any]]:
    """Every approval, or those in a state, newest first."""
    from gateway.remote import ask

    page: str | None = None
    while True:
        query = {"state": state, "limit": _PAGE, "page": page}
        answer = ask(url, key, "approvals", query=query)
        yield from answer["data"]
        page = answer["next_page"]
        if page is None:
            return


def _get(url: str, key: str, approval: str) -> dict[str, Any]:
    from gateway.remote import ask

    return ask(url, key, _path(approval))


def _answer(url: str, key: str, approval: str, body: dict[str, Any]) -> dict[str, Any]:
    from gateway.remote import ask

    return ask(url, key, _path(approval), body=body)


def _path(approval: str) -> str:
    from urllib.parse import quote

    return f"approvals/{quote(approval, safe='')}"
