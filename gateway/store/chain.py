"""The arithmetic of the audit trail's chains: canonical JSON, codes, and finding what was changed.

Every record carries a code (HMAC-SHA-256) over the code before it, its number, its chain and its
bytes; so whoever has the key can tell whether a record was changed, dropped, moved or put in. A
chain alone cannot tell that its end was cut off together with its head: checkpoints do
(`gateway.store.checkpoints`). Pure: no SQL here.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

START = bytes(32)
"""What stands for the code before the first record."""

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode
_hmac = hmac.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One thing that happened: who decided what, and why.

    What is searched for has a field of its own; the rest is in `body`, which holds nothing secret.
    """

    id: str
    at: int
    """Microseconds since 1970 UTC."""
    kind: str
    """decision, approval, policy, switch, enforcement, key, member, credential or checkpoint."""
    workspace: str | None
    session: str | None
    event: str | None
    """The event it is about: for a decision the tool use."""
    actor: str | None
    """Who acted: the id of a principal or of a key."""
    tool: str | None
    outcome: str | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """A record where it stands in its chain; numbers begin at 1."""

    n: int
    record: bytes
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record as it is read back, with what proves it."""

    chain: str
    n: int
    record: AuditRecord
    written: bytes
    """The very bytes that `mac` is over."""
    mac: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """One place where a chain is not what was written."""

    chain: str
    n: int
    """The number of the first record concerned; 0 where there is none."""
    problem: str
    """One sentence for people."""


def canonical(value: Any) -> bytes:
    """The one way to write a JSON value, so that equal values have equal digests.

    RFC 8785 with three differences: keys are sorted by code point, numbers stay exact and look as
    Python shows them, and half a surrogate pair is kept instead of refused.
    """
    return _encode(value).encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def write_record(record: AuditRecord) -> bytes:
    """The bytes of a record as they are chained, stored and exported; JSON, and never built again.

    Half a surrogate pair, which no byte stands for, becomes a question mark.
    """
    told = {
        "id": record.id,
        "at": record.at,
        "kind": record.kind,
        "workspace": record.workspace,
        "session": record.session,
        "event": record.event,
        "actor": record.actor,
        "tool": record.tool,
        "outcome": record.outcome,
        "body": record.body,
    }
    try:
        return to_json(told)
    except ValueError:
        return _encode(told).encode("utf-8", "replace")


def read_record(record: bytes) -> AuditRecord:
    """The record that these bytes were written from.

    Raises:
        ValueError: They are no record.
    """
    try:
        return AuditRecord(**json.loads(record))
    except TypeError as error:
        raise ValueError("not an audit record") from error


def mac(key: bytes, previous: bytes, chain: str, n: int, record: bytes) -> bytes:
    """The code of record `n` of a chain; `previous` is the code of the one before, or `START`."""
    return _hmac(
        key, b"%b%b%b\0%b" % (previous, n.to_bytes(8, "big"), chain.encode(), record), "sha256"
    )


def find_breaks(
    key: bytes,
    chain: str,
    links: Iterable[Link],
    *,
    after: Link = Link(0, b"", START),
) -> Iterator[Break]:
    """Yield what is wrong with consecutive `links` of a chain, which follow `after`.

    One changed record gives one break; whatever follows is judged by the codes that are there.
    """
    previous = after
    for link in links:
        if link.n != previous.n + 1:
            missing = f"records {previous.n + 1} to {link.n - 1} are missing"
            yield Break(chain, previous.n + 1, missing)
        elif not hmac.compare_digest(link.mac, mac(key, previous.mac, chain, link.n, link.record)):
            yield Break(chain, link.n, "the record is not what was written")
        previous = link
