"""Errors and headers."""

import json
from typing import get_args

import pytest
from anthropic.types.shared import ErrorType  # the SDK's own list

from gateway.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Internal,
    InvalidRequest,
    NotFound,
    Overloaded,
    PreconditionFailed,
    RateLimited,
    TooLarge,
    Unauthenticated,
)
from gateway.wire import envelope
from tests.ledger.requirement import requirement


@requirement("errors:envelope:shape")
def test_an_error_has_the_envelope_of_the_api():
    shown = json.loads(envelope.error_bytes(NotFound("No session «x»."), "req_01"))
    assert shown == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "No session «x»."},
        "request_id": "req_01",
    }


@requirement("errors:envelope:details")
def test_details_are_there_only_with_a_code():
    error = InvalidRequest("Archived.", code="environment_archived", details={"id": "env_01"})
    inner = envelope.error_body(error, "req_01")["error"]
    assert inner["details"] == {"error_code": "environment_archived", "id": "env_01"}
    assert "details" not in envelope.error_body(InvalidRequest("Bad."), "req_01")["error"]


@requirement("errors:class:types")
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error"),
        (Unauthenticated("x"), 401, "authentication_error"),
        (Forbidden("x"), 403, "permission_error"),
        (NotFound("x"), 404, "not_found_error"),
        (Conflict("x"), 409, "conflict_error"),
        (PreconditionFailed("x"), 412, "conflict_error"),
        (TooLarge("x"), 413, "request_too_large"),
        (RateLimited("x"), 429, "rate_limit_error"),
        (Internal("x"), 500, "api_error"),
        (Overloaded("x"), 529, "overloaded_error"),
    ],
)
def test_a_status_has_its_type(error: ApiError, status: int, kind: str):
    assert error.status == status
    assert envelope.error_body(error, "req_01")["error"]["type"] == kind
    assert kind in {*get_args(ErrorType), "request_too_large"}


def test_every_answer_carries_its_request_id_and_whose_it_is():
    found = envelope.headers("req_01", workspace="wrkspc_01", organization="org_01")
    assert found == [
        (b"request-id", b"req_01"),
        (b"anthropic-workspace-id", b"wrkspc_01"),
        (b"anthropic-organization-id", b"org_01"),
    ]
    assert envelope.headers("req_01") == [(b"request-id", b"req_01")]


def test_a_stranger_is_not_told_a_workspace():
    found = envelope.error_headers(
        Unauthenticated("Who?"), "req_01", workspace="w", organization="o"
    )
    assert found == [(b"request-id", b"req_01")]


def test_a_conflict_is_not_worth_a_retry():
    found = dict(envelope.error_headers(Conflict("Taken."), "req_01", workspace="w"))
    assert found[b"x-should-retry"] == b"false"
    assert found[b"anthropic-workspace-id"] == b"w"
    assert b"retry-after" not in found
    assert b"x-should-retry" not in dict(envelope.error_headers(NotFound("x"), "req_01"))


def test_a_limit_says_when_to_come_back():
    for error in (RateLimited("Slow."), Overloaded("Busy.")):
        assert dict(envelope.error_headers(error, "r"))[b"retry-after"] == b"1"
        assert dict(envelope.error_headers(error, "r", retry_after=2.5))[b"retry-after"] == b"2.5"
