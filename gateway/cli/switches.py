"""``wharfkeep policy switch`` and ``wharfkeep policy enforcement``, for a running gateway."""

import json
from typing import Any

import click

from gateway.cli.options import json_option, key_option, url_option

_KIND = click.argument(
    "kind", type=click.Choice(["tool", "server", "agent", "user", "workspace"]), metavar="KIND"
)
_SUBJECT = click.argument("subject", metavar="SUBJECT")


@click.group()
def switch() -> None:
    """Stop every call of a tool, a server, an agent, a user or a workspace."""


@switch.command("list")
@url_option
@key_option
@json_option
def list_switches(url: str, key: str, as_json: bool) -> None:
    """List what is stopped."""
    from gateway.remote import ask

    found = ask(url, key, "policy/switches")["data"]
    if as_json:
        click.echo(json.dumps(found))
        return
    for each in found:
        click.echo(f"{_describe(each)}: {each['reason']} ({each['thrown_by']})")


@switch.command("throw")
@_KIND
@_SUBJECT
@click.option("--reason", required=True, help="Why, for those whose calls it stops.")
@click.option("--seconds", type=float, help="After which it lifts itself.")
@url_option
@key_option
@json_option
def throw_switch(
    *,
    kind: str,
    subject: str,
    reason: str,
    seconds: float | None,
    url: str,
    key: str,
    as_json: bool,
) -> None:
    """Stop something, from its next call on.

    KIND is tool, server, agent, user or workspace. SUBJECT is a tool as policies name it, a
    server's name or URL, or an id.
    """
    from gateway.remote import ask

    body: dict[str, Any] = {"kind": kind, "subject": subject, "reason": reason}
    if seconds is not None:
        body["seconds"] = seconds
    thrown = ask(url, key, "policy/switches", body=body)
    click.echo(json.dumps(thrown) if as_json else f"Stopped {_describe(thrown)}.")


@switch.command("lift")
@_KIND
@_SUBJECT
@url_option
@key_option
@json_option
def lift_switch(kind: str, subject: str, url: str, key: str, as_json: bool) -> None:
    """Let it run again."""
    from gateway.remote import ask

    lifted = ask(url, key, "policy/switches/lift", body={"kind": kind, "subject": subject})
    click.echo(json.dumps(lifted) if as_json else f"The {kind} {subject} runs again.")


@click.group()
def enforcement() -> None:
    """Switch the enterprise's policies off for a while, and on again."""


@enforcement.command("off")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.option("--seconds", type=float, required=True, help="For how long, at most a day.")
@url_option
@key_option
@json_option
def switch_off(reason: str, seconds: float, url: str, key: str, as_json: bool) -> None:
    """Let no enterprise policy decide for a while; agents' own toolsets still do."""
    _set(url, key, {"enforced": False, "reason": reason, "seconds": seconds}, as_json)


@enforcement.command("on")
@url_option
@key_option
@json_option
def switch_on(url: str, key: str, as_json: bool) -> None:
    """Let the policies decide again, before the while is over."""
    _set(url, key, {"enforced": True}, as_json)


def _set(url: str, key: str, body: dict[str, Any], as_json: bool) -> None:
    from gateway.remote import ask

    status = ask(url, key, "policy/enforcement", body=body)
    if as_json:
        click.echo(json.dumps(status))
    elif status["enforced"]:
        click.echo("The policies decide.")
    else:
        click.echo(f"The policies do not decide until {status['unenforced']['until']}.")


def _describe(row: dict[str, Any]) -> str:
    until = f" until {row['until']}" if row["until"] else ""
    return f"the {row['kind']} {row['subject']}{until}"
