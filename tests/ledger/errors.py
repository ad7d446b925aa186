"""Errors and what clients do about them."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "errors:envelope:shape",
        "core 10.1",
        "An error is {type, error: {type, message}, request_id}, the id as in the header.",
    ),
    Requirement(
        "errors:envelope:details",
        "resources E-30",
        "error.details is there only when there is an error_code.",
    ),
    Requirement(
        "errors:envelope:everywhere",
        "resources E-34",
        "Unknown paths and wrong methods get the JSON envelope too.",
    ),
    Requirement(
        "errors:class:types",
        "core 10.1",
        "Each status has its error.type: 400 invalid_request_error, 401 authentication_error, 403 permission_error, 404 not_found_error, 409 conflict_error.",
    ),
    Requirement(
        "errors:class:internal",
        "core 10.1",
        "500 has type api_error and tells nothing of the inside.",
    ),
    Requirement(
        "errors:retry:conflict",
        "resources E-20",
        "A deterministic 409 carries x-should-retry: false, so the SDK sends one request.",
    ),
    Requirement("errors:retry:rate-limit", "resources E-21", "429 and 529 carry retry-after."),
    Requirement(
        "errors:message:path",
        "core 10.3",
        "A validation message begins with the path of the field.",
    ),
    Requirement(
        "errors:message:several", "core 10.3", "Several mistakes are told at once, up to three."
    ),
    Requirement(
        "errors:message:event",
        "core 6.2",
        "A mistake in an event names the event's type and 'at events[<index>]'.",
    ),
)
