"""Every URL: what is there, what is not, and that nothing is redirected."""

import pytest
from httpx2 import Client

from gateway.api.router import Router
from gateway.api.routes import ENDPOINTS
from gateway.errors import MethodNotAllowed, NotFound
from tests.gateway import Tenant
from tests.ledger.requirement import requirement

PATHS = sorted({endpoint.path for endpoint in ENDPOINTS})


def test_no_url_is_written_twice():
    assert len({(e.method, e.path) for e in ENDPOINTS}) == len(ENDPOINTS)


def test_every_function_behind_a_url_says_which_one():
    for endpoint in ENDPOINTS:
        doc = endpoint.handle.__doc__ or ""
        shown = endpoint.path.replace("_id}", "}")
        start = (
            doc.partition("``")[2]
            .partition("``")[0]
            .replace("_id}", "}")
            .replace("{id}", "{session}")
        )
        assert start == f"{endpoint.method} {shown}", endpoint


@requirement("errors:envelope:everywhere", "errors:class:types")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v2/agents",
        "/v1/tunnels",
        "/v1/organizations/invites",
        "/v1/agents/a/b/c",
        "/v1/agents//versions",
        "/v1/agents/" + "a" * 300,
        "/v1/agents/%00",
        "/v1/agents/a%2Fb",
        "/v1/agents/%E2%82%AC",
    ],
    ids=lambda path: path[:30],
)
def test_what_is_not_there_is_not_found_in_json(raw: Client, path: str):
    answer = raw.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@requirement("errors:envelope:everywhere")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_a_method_that_is_not_there_names_those_that_are(raw: Client, method: str):
    answer = raw.request(method, "/v1/agents")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    if method != "HEAD":
        assert answer.json()["error"]["type"] == "invalid_request_error"


@requirement("transport:redirect:never")
@pytest.mark.parametrize("path", PATHS)
def test_a_trailing_slash_is_never_redirected(tenant: Tenant, path: str):
    with tenant.raw() as http:
        answer = http.get(path.replace("{", "").replace("}", "") + "/")
    assert answer.status_code == 404
    assert "location" not in answer.headers


PUBLIC = ("/healthz", "/wharfkeep/v1/openapi.json", "/wharfkeep/v1/approvals/{approval_id}/link")


@pytest.mark.parametrize("path", [path for path in PATHS if path not in PUBLIC])
def test_nothing_else_is_served_without_a_key(tenant: Tenant, path: str):
    with Client(base_url=tenant.url) as http:
        for endpoint in ENDPOINTS:
            if endpoint.path == path:
                answer = http.request(endpoint.method, path.replace("{", "").replace("}", ""))
                assert answer.status_code == 401


def test_written_pieces_come_before_parameters():
    router = Router(ENDPOINTS)
    endpoint, path = router.find("GET", "/v1/sessions/s/events/stream")
    assert (endpoint.path, path) == (
        "/v1/sessions/{session_id}/events/stream",
        {"session_id": "s"},
    )
    with pytest.raises(NotFound):
        router.find("GET", "/v1/sessions/s/events/other")
    with pytest.raises(MethodNotAllowed):
        router.find("PUT", "/v1/sessions/s")
