"""Query parameters: one declarative `Query` for each endpoint that takes any.

``AGENT_LIST.parse(scope["query_string"])`` gives a plain dict with a key for every parameter:
``created_at[gte]`` becomes ``created_at_gte`` in microseconds, ``types[]`` becomes ``types``, and
``page`` a decoded cursor. Arrays may also repeat their plain name. Unknown parameters are ignored;
of a repeated single parameter the last counts (spec/core 1.1, spec/resources E-11, X-2).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from gateway.clock import parse_rfc3339
from gateway.errors import InvalidRequest
from gateway.wire import cursor
from gateway.wire.cursor import EventCursor, Order, PageCursor
from gateway.wire.events import PERSISTED, PREVIEWED
from gateway.wire.limits import MAX_INT

MAX_PARAMETERS = 1000
MAX_DELTAS = 100

_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


class Parameter(Protocol):
    """One parameter: what it means when absent, and how its text is read."""

    @property
    def default(self) -> Any: ...

    def read(self, name: str, texts: list[str]) -> Any:
        """Read the values given, at least one; raise `InvalidRequest` naming `name`."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    least: int
    most: int
    default: int | None = None

    def read(self, name: str, texts: list[str]) -> int:
        if not _INTEGER.fullmatch(texts[-1]):
            raise InvalidRequest(f"{name}: must be an integer")
        number = int(texts[-1])
        if not self.least <= number <= self.most:
            raise InvalidRequest(f"{name}: must be between {self.least} and {self.most}")
        return number


@dataclass(frozen=True, slots=True)
class Flag:
    default: bool = False

    def read(self, name: str, texts: list[str]) -> bool:
        if texts[-1] not in ("true", "false"):
            raise InvalidRequest(f"{name}: must be true or false")
        return texts[-1] == "true"


@dataclass(frozen=True, slots=True)
class Instant:
    """RFC 3339 with ``Z``, an offset, or neither (UTC); microseconds."""

    default: None = None

    def read(self, name: str, texts: list[str]) -> int:
        # An unescaped plus of an offset arrives as a space.
        text = re.sub(r" (\d\d:\d\d)$", r"+\1", texts[-1])
        try:
            if _TIMESTAMP.fullmatch(text):
                return parse_rfc3339(text.upper())
        except (ValueError, OverflowError):
            pass  # a 13th month, or an offset that leaves the calendar: the same answer
        raise InvalidRequest(f"{name}: must be an RFC 3339 timestamp such as 2026-04-01T12:00:00Z")


@dataclass(frozen=True, slots=True)
class Text:
    """An id to filter by, or an opaque token."""

    default: None = None

    def read(self, name: str, texts: list[str]) -> str:
        if not 1 <= len(texts[-1]) <= 255 or "\0" in texts[-1]:  # noqa: PLR2004 - as for ids in bodies
            raise InvalidRequest(f"{name}: must be 1 to 255 characters")
        return texts[-1]


@dataclass(frozen=True, slots=True)
class Choice:
    values: tuple[str, ...]
    default: str | None

    def read(self, name: str, texts: list[str]) -> str:
        return _one_of(name, texts[-1], self.values)


@dataclass(frozen=True, slots=True)
class Several:
    """A set of values, given by repeating ``name[]`` or ``name``; empty when absent."""

    values: tuple[str, ...]
    most: int = MAX_PARAMETERS
    default: tuple[str, ...] = ()

    def read(self, name: str, texts: list[str]) -> tuple[str, ...]:
        if len(texts) > self.most:
            raise InvalidRequest(f"{name}: at most {self.most} values are allowed")
        return tuple(dict.fromkeys(_one_of(name, text, self.values) for text in texts))


@dataclass(frozen=True, slots=True)
class Ids:
    """A set of ids, given by repeating ``name[]`` or ``name``; None when absent."""

    most: int
    default: None = None

    def read(self, name: str, texts: list[str]) -> tuple[str, ...]:
        ids = tuple(dict.fromkeys(texts))
        if len(ids) > self.most:
            raise InvalidRequest(f"{name}: at most {self.most} ids are allowed")
        return tuple(Text().read(name, [text]) for text in ids)


@dataclass(frozen=True)
class Query:
    """The parameters of one endpoint.

    `decode` reads ``page`` for the order that the request asks for, or for `order` where it
    cannot ask.
    """

    parameters: dict[str, Parameter]
    decode: Callable[[str, Order], PageCursor | EventCursor] | None = None
    order: Order = "desc"
    _names: dict[str, str] = field(init=False, default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for name, parameter in self.parameters.items():
            self._names[name] = name
            if isinstance(parameter, Several | Ids):
                self._names[f"{name}[]"] = name

    def parse(self, raw: bytes) -> dict[str, Any]:
        """Read a query string.

        Raises:
            InvalidRequest: The message names the parameter and the rule.
        """
        given: dict[str, list[str]] = {}
        token = ""
        for key, text in _pairs(raw):
            if key in self._names:
                given.setdefault(self._names[key], []).append(text)
            elif key == "page":
                token = text
        result = {
            _key(name): p.read(name, given[name]) if name in given else p.default
            for name, p in self.parameters.items()
        }
        if self.decode is not None:
            place = self.decode(token, result.get("order", self.order)) if token else None
            result["page"] = _inside(place, result)
        return result


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query string is not valid UTF-8.") from error
    except ValueError as error:
        raise InvalidRequest(f"More than {MAX_PARAMETERS} query parameters.") from error


def _key(name: str) -> str:
    return name.replace("[", "_").removesuffix("]")


def _one_of(name: str, text: str, values: tuple[str, ...]) -> str:
    if text not in values:
        raise InvalidRequest(f"{name}: {text[:100]!r} is not one of {', '.join(values)}")
    return text


def _inside(
    place: PageCursor | EventCursor | None, filters: dict[str, Any]
) -> PageCursor | EventCursor | None:
    """A cursor must lie within the creation times asked for (spec/core 1.3)."""
    if isinstance(place, PageCursor):
        bounds = [filters.get(f"created_at_{name}") for name in ("gt", "gte", "lt", "lte")]
        after, since, before, until = bounds
        if (
            (after is not None and place.at <= after)
            or (since is not None and place.at < since)
            or (before is not None and place.at >= before)
            or (until is not None and place.at > until)
        ):
            raise InvalidRequest("page: this cursor lies outside the created_at range")
    return place


ROLES = (
    "admin",
    "billing",
    "claude_code_user",
    "developer",
    "managed",
    "membership_admin",
    "owner",
    "primary_owner",
    "user",
)
"""What somebody can be in an organization."""

_STATUSES = Several(("rescheduling", "running", "idle", "terminated"))
_LIMIT = Whole(1, 100, 20)
_RANGE: dict[str, Parameter] = {f"created_at[{k}]": Instant() for k in ("gt", "gte", "lt", "lte")}

AGENT_LIST = Query(
    {
        "created_at[gte]": Instant(),
        "created_at[lte]": Instant(),
        "include_archived": Flag(),
        "limit": _LIMIT,
    },
    cursor.decode_page,
)
AGENT_VERSIONS = Query({"limit": _LIMIT}, cursor.decode_page)
AGENT_RETRIEVE = Query({"version": Whole(1, MAX_INT)})
ENVIRONMENT_LIST = Query({"include_archived": Flag(), "limit": _LIMIT}, cursor.decode_page)
BUILD = Query({"after": Whole(0, MAX_INT, 0), "limit": Whole(1, 2000, 2000)})
SESSION_LIST = Query(
    {
        "agent_id": Text(),
        "agent_version": Whole(1, MAX_INT),
        **_RANGE,
        "deployment_id": Text(),
        "include_archived": Flag(),
        "limit": _LIMIT,
        "memory_store_id": Text(),
        "order": Choice(("asc", "desc"), "desc"),
        "statuses": _STATUSES,
    },
    cursor.decode_page,
)
EVENT_LIST = Query(
    {
        **_RANGE,
        "limit": Whole(1, 1000, 1000),
        "order": Choice(("asc", "desc"), "asc"),
        "types": Several(PERSISTED),
    },
    cursor.decode_event,
)
THREAD_LIST = Query(
    {"limit": Whole(1, 1000, 1000), "statuses": _STATUSES}, cursor.decode_page, "asc"
)
THREAD_EVENT_LIST = Query({"limit": Whole(1, 1000, 1000)}, cursor.decode_event, "asc")
EVENT_STREAM = Query({"event_deltas": Several(PREVIEWED, MAX_DELTAS)})
RESOURCE_LIST = Query({"limit": Whole(1, 1000)}, cursor.decode_page, "asc")
FILE_LIST = Query(
    {
        "ids": Ids(100),
        "limit": Whole(1, 1000),
        "scope_id": Text(),
        # Of the list as it was before it had pages (spec/resources F-2).
        "after_id": Text(),
        "before_id": Text(),
    },
    cursor.decode_file,
)
APPROVAL_LIST = Query(
    {
        "limit": _LIMIT,
        "state": Several(("pending", "approved", "denied", "expired", "used", "withdrawn")),
    },
    cursor.decode_page,
)
APPROVAL_LINK = Query({"token": Text()})
AUDIT_LIST = Query(
    {
        "actor": Text(),
        **_RANGE,
        "kind": Text(),
        "limit": Whole(1, 1000, 100),
        "order": Choice(("asc", "desc"), "desc"),
        "outcome": Text(),
        "session": Text(),
        "tool": Text(),
        "workspace": Text(),
    },
    cursor.decode_page,
)
AUDIT_VERIFY = Query({"page": Text()})
MODEL_LIST = Query(
    {
        "after_id": Text(),
        "before_id": Text(),
        "lifecycle": Several(("active", "deprecated", "retired"), 3),
        "limit": Whole(1, 1000, 20),
    }
)
_BY_ID: dict[str, Parameter] = {
    "after_id": Text(),
    "before_id": Text(),
    "limit": Whole(1, 1000, 20),
}
API_KEY_LIST = Query(
    {
        **_BY_ID,
        "created_by_user_id": Text(),
        "status": Choice(("active", "archived", "expired", "inactive"), None),
        "workspace_id": Text(),
    }
)
SPACE_LIST = Query(
    {**_BY_ID, "ids": Ids(100), "include_archived": Flag(), "include_default": Flag()}
)
MEMBER_LIST = Query(_BY_ID)
USER_LIST = Query({**_BY_ID, "email": Text(), "roles": Several(ROLES)})
ACCOUNT_LIST = Query({"include_archived": Flag(), "limit": _LIMIT}, cursor.decode_page)
PLACE_LIST = Query({"limit": _LIMIT}, cursor.decode_page)
