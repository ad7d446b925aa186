"""What people call things on the command line: names, e-mail addresses, ids and spans of time."""

import re
from typing import TYPE_CHECKING

import click

from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.store.deeds import Deed, Outcome
    from gateway.store.people import Kind, PrincipalRow
    from gateway.store.store import Store
    from gateway.store.workspaces import WorkspaceRow

_SPAN = re.compile(r"([1-9][0-9]{0,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def span(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Read ``90d`` or ``12h`` into seconds."""
    if value is None:
        return None
    found = _SPAN.fullmatch(value)
    if found is None:
        raise click.BadParameter("must be a number and one of s, m, h, d, w, such as 90d")
    return int(found[1]) * _SECONDS[found[2]]


def label(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """A name that can be shown in a terminal."""
    from gateway.wire import limits

    if value is not None and not re.fullmatch(limits.LABEL, value):
        raise click.BadParameter(limits.PATTERNS[limits.LABEL])
    if value is not None and not 1 <= len(value) <= 256:  # noqa: PLR2004 - as in the API
        raise click.BadParameter("must be 1 to 256 characters")
    return value


def slug(_context: click.Context, _option: click.Parameter, value: str) -> str:
    from gateway.wire import limits

    if len(value) > 64 or not re.fullmatch(limits.SLUG, value):  # noqa: PLR2004 - as in the API
        raise click.BadParameter(limits.PATTERNS[limits.SLUG])
    return value


def address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """An e-mail address."""
    from gateway.wire.formats import email

    try:
        return email(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


async def find_workspace(store: "Store", name: str) -> "WorkspaceRow":
    """The workspace with this id or name.

    Raises:
        NotFound: There is none.
    """
    if name.startswith("wrkspc_"):
        return await store.workspaces.get(id=name)
    page = await store.workspaces.list(
        limit=1, name=name, include_archived=True, include_default=True
    )
    if not page.rows:
        raise NotFound(f"workspace {name} not found")
    return page.rows[0]


async def find_principal(store: "Store", kind: "Kind", name: str) -> "PrincipalRow":
    """The user with this id or address, or the service account with this id or name.

    Raises:
        NotFound: There is none.
    """
    if name.startswith(("user_", "svac_")):
        return await store.people.get(kind=kind, id=name)
    user = kind == "user"
    page = await store.people.list(
        kind=kind,
        limit=1,
        email=name.lower() if user else None,
        name=None if user else name,
    )
    if not page.rows:
        raise NotFound(f"{kind.replace('_', ' ')} {name} not found")
    return page.rows[0]


def kind_of(name: str) -> "Kind":
    """Whether a member is meant to be a user or a service account."""
    return "user" if "@" in name or name.startswith("user_") else "service_account"


def by_hand(outcome: "Outcome") -> "Deed":
    """What the command line is about to do, for the audit trail."""
    from gateway.clock import SystemClock
    from gateway.store.deeds import Deed

    clock = SystemClock()
    return Deed(id=clock.new_id("audit"), at=clock.now(), actor=None, outcome=outcome)
