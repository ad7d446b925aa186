"""Lists and their pages, through the API."""

from typing import Any

import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import make_agent, make_environment, make_session
from tests.ledger.requirement import requirement


@pytest.fixture
def sessions(client: Anthropic) -> list[str]:
    """Five sessions, oldest first."""
    agent, environment = make_agent(client).id, make_environment(client).id
    return [make_session(client, agent=agent, environment_id=environment).id for _ in range(5)]


@requirement("pagination:forward:shape", "pagination:forward:no-prev")
def test_a_forward_page_has_data_and_a_next_page_that_ends_with_null(
    raw: Client, client: Anthropic, sessions: list[str]
):
    agent = make_agent(client).id
    for path in (
        "/v1/agents",
        f"/v1/agents/{agent}/versions",
        "/v1/environments",
        f"/v1/sessions/{sessions[0]}/events",
        f"/v1/sessions/{sessions[0]}/threads",
        f"/v1/sessions/{sessions[0]}/resources",
    ):
        page = raw.get(path).json()
        assert set(page) == {"data", "next_page"}
        assert page["next_page"] is None


@requirement("pagination:forward:iterates", "pagination:limit:default")
def test_the_sdks_iterator_yields_everything_once(client: Anthropic):
    made = [make_agent(client, name=f"Agent {n}").id for n in range(23)]
    assert len(client.beta.agents.list().data) == 20
    for limit in (1, 7, 23, 100):
        assert [agent.id for agent in client.beta.agents.list(limit=limit)] == made[::-1]


@requirement("pagination:sessions:two-way")
def test_sessions_are_read_both_ways(raw: Client, sessions: list[str]):
    newest = sessions[::-1]

    def page(token: str | None = None) -> Any:
        return raw.get(
            "/v1/sessions", params={"limit": 2, **({"page": token} if token else {})}
        ).json()

    def ids(page: Any) -> list[str]:
        return [session["id"] for session in page["data"]]

    first = page()
    assert set(first) == {"data", "next_page", "prev_page"}
    assert (ids(first), first["prev_page"]) == (newest[:2], None)
    second = page(first["next_page"])
    assert ids(second) == newest[2:4]
    third = page(second["next_page"])
    assert (ids(third), third["next_page"]) == (newest[4:], None)
    back = page(third["prev_page"])
    assert ids(back) == newest[2:4]
    front = page(back["prev_page"])
    assert (ids(front), front["prev_page"]) == (newest[:2], None)
    assert ids(page(front["next_page"])) == newest[2:4]


@requirement(
    "pagination:cursor:order", "pagination:cursor:range", "pagination:cursor:limit-may-change"
)
def test_a_cursor_keeps_its_order_and_range_but_other_filters_may_change(
    raw: Client, client: Anthropic, sessions: list[str]
):
    first = raw.get("/v1/sessions?limit=2").json()
    token = {"page": first["next_page"]}
    wider = raw.get("/v1/sessions", params={"limit": 100, "include_archived": "true", **token})
    assert [s["id"] for s in wider.json()["data"]] == sessions[2::-1]
    assert raw.get("/v1/sessions", params={"order": "asc", **token}).status_code == 400
    after = client.beta.sessions.retrieve(sessions[4]).created_at.isoformat()
    refused = raw.get("/v1/sessions", params={"created_at[gte]": after, **token})
    assert refused.status_code == 400
    assert "page: " in refused.json()["error"]["message"]


@requirement("pagination:cursor:opaque")
def test_a_cursor_is_used_as_it_was_given_or_not_at_all(
    raw: Client, client: Anthropic, sessions: list[str]
):
    token = raw.get("/v1/sessions?limit=2").json()["next_page"]
    for bad in (token[:-1], token + "A", "x", "%00", token.swapcase()):
        answer = raw.get("/v1/sessions", params={"page": bad})
        assert answer.status_code == 400
        assert "page: " in answer.json()["error"]["message"]
    events = raw.get(f"/v1/sessions/{sessions[0]}/events", params={"page": token})
    assert events.status_code == 400


@requirement("pagination:cursor:stable")
def test_what_is_made_between_two_pages_moves_nothing(raw: Client, client: Anthropic):
    made = [make_environment(client, name=f"{n}").id for n in range(4)]
    first = raw.get("/v1/environments?limit=2").json()
    make_environment(client, name="late")
    second = raw.get("/v1/environments", params={"limit": 2, "page": first["next_page"]}).json()
    assert [e["id"] for e in first["data"] + second["data"]] == made[::-1]


@requirement("pagination:limit:range", "transport:query:out-of-range", "transport:query:booleans")
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=",
        "include_archived=yes",
        "limit=1.5",
    ],
)
def test_a_bad_parameter_is_named(raw: Client, query: str):
    for path in ("/v1/agents", "/v1/environments", "/v1/sessions"):
        answer = raw.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith(query.partition("=")[0])


@requirement("transport:query:arrays", "transport:query:ranges", "transport:query:unknown")
def test_arrays_and_instants_are_read_in_every_form(raw: Client, client: Anthropic):
    session = make_session(client)
    client.beta.sessions.archive(session.id)
    for query, expected in (
        ("statuses[]=terminated&statuses[]=idle", True),
        ("statuses=idle&statuses=running", False),
        ("statuses%5B%5D=terminated", True),
        ("created_at[gte]=2020-01-01T00:00:00Z", True),
        ("created_at%5Bgte%5D=2020-01-01T00%3A00%3A00%2B00%3A00", True),
        ("created_at[lt]=2020-01-01T00:00:00-05:00", False),
    ):
        answer = raw.get(f"/v1/sessions?{query}&include_archived=true&colour=red")
        assert bool(answer.json()["data"]) is expected, query
