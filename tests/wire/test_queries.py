"""Query parameters, as the SDK encodes them and as people type them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic._qs import Querystring  # pyright: ignore[reportPrivateUsage] - the encoder itself is the oracle

from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.wire import queries
from gateway.wire.cursor import EventCursor, PageCursor, encode
from gateway.wire.events import PERSISTED
from gateway.wire.queries import Query
from tests.ledger.requirement import requirement

_NOON = 1_775_044_800_000_000
_LISTS = {
    name: q for name, q in vars(queries).items() if isinstance(q, Query) and "limit" in q.parameters
}


def _sdk(**parameters: Any) -> bytes:
    """The query string the SDK would send."""
    return Querystring(array_format="brackets").stringify(parameters).encode()


def _message(query: Query, raw: bytes) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        query.parse(raw)
    return refusal.value.message


@pytest.mark.parametrize(
    ("name", "default", "most"),
    [
        ("AGENT_LIST", 20, 100),
        ("AGENT_VERSIONS", 20, 100),
        ("ENVIRONMENT_LIST", 20, 100),
        ("SESSION_LIST", 20, 100),
        ("EVENT_LIST", 1000, 1000),
        ("THREAD_LIST", 1000, 1000),
        ("THREAD_EVENT_LIST", 1000, 1000),
        ("RESOURCE_LIST", None, 1000),
        ("FILE_LIST", None, 1000),
        ("MODEL_LIST", 20, 1000),
        ("BUILD", 2000, 2000),
        ("API_KEY_LIST", 20, 1000),
        ("SPACE_LIST", 20, 1000),
        ("MEMBER_LIST", 20, 1000),
        ("USER_LIST", 20, 1000),
        ("ACCOUNT_LIST", 20, 100),
        ("PLACE_LIST", 20, 100),
        ("APPROVAL_LIST", 20, 100),
        ("AUDIT_LIST", 100, 1000),
    ],
)
def test_a_list_has_its_page_sizes(name: str, default: int | None, most: int):
    query = _LISTS[name]
    assert query.parse(b"")["limit"] == default
    assert query.parse(f"limit={most}".encode())["limit"] == most
    for wrong in (0, -1, most + 1, 10**30):
        assert _message(query, f"limit={wrong}".encode()).startswith("limit: ")


def test_every_list_is_in_the_test_above():
    assert len(_LISTS) == 19


def test_absent_parameters_have_their_defaults():
    assert queries.SESSION_LIST.parse(b"") == {
        "agent_id": None,
        "agent_version": None,
        "created_at_gt": None,
        "created_at_gte": None,
        "created_at_lt": None,
        "created_at_lte": None,
        "deployment_id": None,
        "include_archived": False,
        "limit": 20,
        "memory_store_id": None,
        "order": "desc",
        "statuses": (),
        "page": None,
    }
    assert queries.EVENT_LIST.parse(b"page=")["order"] == "asc"


@requirement("transport:query:ranges")
@pytest.mark.parametrize(
    "raw",
    [
        _sdk(**{"created_at[gte]": datetime(2026, 4, 1, 12, tzinfo=UTC).isoformat()}),
        b"created_at%5Bgte%5D=2026-04-01T12%3A00%3A00Z",
        b"created_at[gte]=2026-04-01T12:00:00Z",
        b"created_at[gte]=2026-04-01T14:00:00.000000%2B02:00",
        b"created_at[gte]=2026-04-01T14:00:00+02:00",
        b"created_at[gte]=2026-04-01t12:00:00z",
        b"created_at[gte]=2026-04-01T12:00:00",
    ],
)
def test_a_time_is_read_from_every_form_of_rfc_3339(raw: bytes):
    assert queries.AGENT_LIST.parse(raw)["created_at_gte"] == _NOON


def test_a_time_that_we_showed_can_be_asked_for():
    raw = f"created_at[lt]={rfc3339(_NOON + 7)}".encode()
    assert queries.EVENT_LIST.parse(raw)["created_at_lt"] == _NOON + 7


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-04-01",
        "20260401T120000Z",
        "2026-13-01T00:00:00Z",
        "1775044800",
        "",
        "2026-W14-3T00:00:00Z",
        "\uff12026-04-01T12:00:00Z",
    ],
)
def test_another_form_of_time_is_refused(text: str):
    raw = _sdk(**{"created_at[gte]": text})
    assert _message(queries.AGENT_LIST, raw).startswith("created_at[gte]: must be an RFC 3339")


@requirement("transport:query:arrays")
@pytest.mark.parametrize(
    "raw",
    [
        _sdk(types=["user.message", "agent.message"]),
        b"types[]=user.message&types[]=agent.message&types[]=user.message",
        b"types=user.message&types=agent.message",
    ],
)
def test_an_array_is_a_repeated_name_with_or_without_brackets(raw: bytes):
    assert queries.EVENT_LIST.parse(raw)["types"] == ("user.message", "agent.message")


@requirement("events:list:types")
def test_the_types_of_a_list_of_events_are_the_persisted_ones():
    assert queries.EVENT_LIST.parse(_sdk(types=list(PERSISTED)))["types"] == PERSISTED
    for name in ("session.deleted", "event_start", "ping"):
        assert _message(queries.EVENT_LIST, _sdk(types=[name])).startswith("types: ")


@requirement("streams:deltas:values")
def test_only_two_types_can_be_previewed_and_named_a_hundred_times():
    both = ["agent.message", "agent.thinking"]
    assert queries.EVENT_STREAM.parse(_sdk(event_deltas=both * 50)) == {"event_deltas": tuple(both)}
    assert "at most 100" in _message(queries.EVENT_STREAM, _sdk(event_deltas=both * 50 + both[:1]))
    told = _message(queries.EVENT_STREAM, _sdk(event_deltas=["agent.tool_use"]))
    assert told.startswith("event_deltas: 'agent.tool_use' is not one of")


@requirement("transport:query:booleans")
def test_a_boolean_is_true_or_false():
    assert queries.AGENT_LIST.parse(_sdk(include_archived=True))["include_archived"] is True
    assert queries.AGENT_LIST.parse(b"include_archived=false")["include_archived"] is False
    for wrong in (b"1", b"True", b"yes", b""):
        told = _message(queries.AGENT_LIST, b"include_archived=" + wrong)
        assert told == "include_archived: must be true or false"


@requirement("transport:query:out-of-range", "pagination:limit:range")
@pytest.mark.parametrize(
    ("query", "raw", "name"),
    [
        (queries.AGENT_RETRIEVE, b"version=0", "version"),
        (queries.AGENT_RETRIEVE, b"version=2147483648", "version"),
        (queries.AGENT_RETRIEVE, b"version=1.0", "version"),
        (queries.AGENT_RETRIEVE, "version=٣".encode(), "version"),
        (queries.SESSION_LIST, b"agent_version=-1", "agent_version"),
        (queries.SESSION_LIST, b"order=newest", "order"),
        (queries.SESSION_LIST, b"statuses[]=done", "statuses"),
        (queries.SESSION_LIST, b"agent_id=", "agent_id"),
        (queries.SESSION_LIST, b"agent_id=%00", "agent_id"),
        (queries.MODEL_LIST, b"lifecycle[]=gone", "lifecycle"),
        (queries.MODEL_LIST, b"limit=1001", "limit"),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(query: Query, raw: bytes, name: str):
    assert _message(query, raw).startswith(f"{name}: ")


@requirement("transport:query:unknown", "transport:query:beta-flag")
def test_unknown_parameters_are_ignored():
    raw = b"beta=true&order_by=created_at&limit=3&page[]=x&created_at=2026"
    assert queries.AGENT_LIST.parse(raw) == {**queries.AGENT_LIST.parse(b""), "limit": 3}


def test_a_query_that_is_not_text_is_refused():
    assert "UTF-8" in _message(queries.AGENT_LIST, b"%ff=1")
    assert "UTF-8" in _message(queries.AGENT_LIST, b"\xff=1")
    assert "1000" in _message(queries.AGENT_LIST, b"&".join([b"a=1"] * 1001))


def test_a_page_is_decoded_for_the_order_asked_for():
    place = PageCursor("asc", _NOON, "sesn_01", backwards=True)
    raw = _sdk(page=encode(place), order="asc")
    assert queries.SESSION_LIST.parse(raw)["page"] == place
    assert "order=asc" in _message(queries.SESSION_LIST, _sdk(page=encode(place)))
    event = EventCursor("asc", 7)
    assert queries.EVENT_LIST.parse(_sdk(page=encode(event)))["page"] == event


@requirement("pagination:cursor:range")
@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [("gt", -1, 0), ("gte", 0, 1), ("lt", 1, 0), ("lte", 0, -1)],
)
def test_a_page_must_lie_within_the_range_asked_for(bound: str, inside: int, outside: int):
    page = encode(PageCursor("desc", _NOON, "sesn_01"))
    for offset, fits in ((inside, True), (outside, False)):
        raw = _sdk(**{"page": page, f"created_at[{bound}]": rfc3339(_NOON + offset)})
        if fits:
            assert queries.SESSION_LIST.parse(raw)["page"] is not None
        else:
            assert "created_at" in _message(queries.SESSION_LIST, raw)


def test_other_filters_may_change_between_pages():
    page = encode(PageCursor("desc", _NOON, "sesn_01"))
    raw = _sdk(page=page, limit=3, agent_id="agent_01", include_archived=True)
    assert queries.SESSION_LIST.parse(raw)["page"] is not None
