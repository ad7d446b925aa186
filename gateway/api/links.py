"""Links to answer an approval with, for people without an API key and programs that show links.

Opening one shows what is asked; only the button answers, so that whatever looks at links ahead of
a person approves nothing. The pages are for browsers and know no script.
"""

from html import escape

from gateway.api.approvals import present
from gateway.api.context import ApiCall, Gateway, Page
from gateway.api.sender import groups_of
from gateway.errors import ApiError, Forbidden, InvalidRequest, NotFound
from gateway.loop.approval import LINK, Sender, explain
from gateway.store.approvals import ApprovalRow
from gateway.vault import links
from gateway.vault.links import Link
from gateway.vault.seal import NotOurs
from gateway.wire import queries
from gateway.wire.legible import legible

_DONE = {"approve": "Approved: the call goes on.", "deny": "Denied: the agent is told."}
_VERBS = {"approve": "Approve", "deny": "Deny"}


async def show(gateway: Gateway, call: ApiCall) -> Page:
    """``GET /wharfkeep/v1/approvals/{approval_id}/link``: what is asked, and one button."""
    try:
        link, row = await _open(gateway, call)
        if row.state != "pending":
            raise InvalidRequest(f"{row.event} {explain(row)}")
    except ApiError as error:
        return _failure(error)
    return _page(f"{_VERBS[link.decision]} this call?", _question(link, row))


async def use(gateway: Gateway, call: ApiCall) -> Page:
    """``POST /wharfkeep/v1/approvals/{approval_id}/link``: answer, once, as the link says."""
    try:
        link, row = await _open(gateway, call)
        await gateway.intake.answer(
            row,
            allow=link.decision == "approve",
            reason=None,
            sender=await _sender(gateway, call, link),
        )
    except ApiError as error:
        return _failure(error)
    return _page(_DONE[link.decision], "<p>You can close this page.</p>")


async def _open(gateway: Gateway, call: ApiCall) -> tuple[Link, ApprovalRow]:
    """The link, and the approval it is to.

    Raises:
        NotFound: There is no such link, or no such approval any more.
        InvalidRequest: It has expired.
    """
    approval = call.path["approval_id"]
    token = queries.APPROVAL_LINK.parse(call.query)["token"] or ""
    try:
        link = links.read(gateway.seal, approval, token)
    except NotOurs as error:
        raise NotFound("This link is not complete, or was not made here.") from error
    row = await gateway.store.approvals.find(id=approval)
    if row is None:
        raise NotFound("What this link was made for is gone.")
    if link.expires_at <= gateway.clock.now():
        raise InvalidRequest("This link has expired: the call was denied.")
    return link, row


async def _sender(gateway: Gateway, call: ApiCall, link: Link) -> Sender:
    """Whoever the link was made for, with the groups they are in by now."""
    if link.approver == LINK:
        return Sender(actor=LINK, ip=call.ip)
    person = await gateway.store.people.principal(id=link.approver)
    if person is None or person.archived_at is not None:
        raise Forbidden(f"{link.approver}, for whom this link was made, is not here any more")
    groups = groups_of(gateway, person.id, person.email)
    return Sender(actor=person.id, groups=groups, ip=call.ip)


def _question(link: Link, row: ApprovalRow) -> str:
    shown = present(row)
    facts = {
        "Tool": shown["tool"],
        "Arguments": legible(shown["arguments"]),
        "For": shown["acting_for"],
        "Asked by": ", ".join(shown["policies"]),
        "Session": shown["session_id"],
        "Answer as": link.approver,
        "Until": shown["expires_at"],
    }
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td><pre>{escape(str(text))}</pre></td></tr>"
        for name, text in facts.items()
    )
    button = f"<button>{_VERBS[link.decision]}</button>"
    return f'<table>{rows}</table><form method="post">{button}</form>'


def _failure(error: ApiError) -> Page:
    return _page("This did not work.", f"<p>{escape(error.message)}</p>", status=error.status)


def _page(title: str, content: str, status: int = 200) -> Page:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{content}</body></html>"
    )
    return Page(text.encode(), status)
