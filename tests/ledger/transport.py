"""How requests and answers travel."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement("transport:auth:bearer", "core 1.1", "A key is accepted as Authorization: Bearer."),
    Requirement("transport:auth:x-api-key", "core 1.1", "The same key is accepted as x-api-key."),
    Requirement(
        "transport:auth:both", "core 1.1", "When both headers are sent, Authorization wins."
    ),
    Requirement(
        "transport:auth:missing",
        "resources E-3",
        "No key or an unknown one is answered 401 authentication_error.",
    ),
    Requirement(
        "transport:auth:401-names-no-workspace",
        "resources E-3",
        "A 401 carries no anthropic-workspace-id.",
    ),
    Requirement(
        "transport:workspace:mismatch",
        "resources E-9",
        "A workspace header that is not the key's workspace is answered 403.",
    ),
    Requirement(
        "transport:workspace:foreign-id",
        "resources C-8",
        "An id of another workspace is answered 404, like one that does not exist.",
    ),
    Requirement(
        "transport:beta:list",
        "resources E-5",
        "Beta values are read from several lines, split at commas, without repeats.",
    ),
    Requirement(
        "transport:beta:lenient",
        "core 6.10",
        "A missing or unknown beta value is accepted by default.",
    ),
    Requirement(
        "transport:beta:strict",
        "core 6.10",
        "Under strict_betas a missing value is answered 404, naming the header.",
    ),
    Requirement(
        "transport:version:known",
        "core 1.1",
        "anthropic-version 2026-10-21 and 2023-06-01 are accepted.",
    ),
    Requirement(
        "transport:version:missing",
        "resources E-4",
        "A missing anthropic-version means the latest.",
    ),
    Requirement(
        "transport:version:invalid",
        "resources E-4",
        "An anthropic-version that is no date is answered 400.",
    ),
    Requirement(
        "transport:query:beta-flag", "resources E-8", "?beta=true is accepted and ignored."
    ),
    Requirement(
        "transport:query:unknown", "resources X-2", "Unknown query parameters are ignored."
    ),
    Requirement(
        "transport:query:arrays",
        "core 1.1",
        "Arrays are read from name[]= and from a repeated name.",
    ),
    Requirement(
        "transport:query:ranges",
        "core 1.1",
        "created_at[gte] and the like take RFC 3339 with Z or an offset.",
    ),
    Requirement(
        "transport:query:booleans",
        "core 1.1",
        "Booleans in queries are true or false; anything else is answered 400.",
    ),
    Requirement(
        "transport:query:out-of-range",
        "resources P-4",
        "A number outside its range is answered 400, naming the parameter.",
    ),
    Requirement(
        "transport:body:empty", "core 1.1", "A POST without parameters may have an empty body."
    ),
    Requirement(
        "transport:body:unknown-field",
        "resources X-1",
        "An unknown field is answered 400, naming it by its path.",
    ),
    Requirement(
        "transport:body:relaxed",
        "resources X-1",
        "With strict_bodies off, unknown fields are ignored.",
    ),
    Requirement(
        "transport:body:wrong-type",
        "core 10.3",
        "A value of the wrong type is answered 400, naming its path; nothing is coerced.",
    ),
    Requirement(
        "transport:body:malformed",
        "core 10.3",
        "What is not JSON, not UTF-8, or not an object is answered 400.",
    ),
    Requirement(
        "transport:body:unstorable",
        "core 10.3",
        "Duplicate keys, NaN, NUL characters, lone surrogates and absurd nesting are answered 400.",
    ),
    Requirement(
        "transport:body:too-large",
        "core 1.1",
        "A body above the limit is answered 413 request_too_large.",
    ),
    Requirement(
        "transport:response:timestamps", "core 1.2", "Every timestamp is RFC 3339 in UTC with Z."
    ),
    Requirement(
        "transport:response:every-field",
        "core 12a",
        "Every field of the SDK's model is there, null when unset, but for the absence table.",
    ),
    Requirement(
        "transport:response:no-extras",
        "core 12a",
        "No response holds a key that the SDK's model does not have.",
    ),
    Requirement(
        "transport:response:request-id",
        "resources E-22",
        "Every response carries request-id: req_...",
    ),
    Requirement(
        "transport:response:workspace",
        "resources E-23",
        "Authenticated responses carry anthropic-workspace-id and anthropic-organization-id.",
    ),
    Requirement(
        "transport:response:status-200",
        "resources E-25",
        "Every success is 200 with a JSON body, creations and deletions included.",
    ),
    Requirement(
        "transport:response:accept", "resources E-13", "The Accept header changes nothing."
    ),
    Requirement(
        "transport:redirect:never", "resources E-14", "No request is answered with a redirect."
    ),
    Requirement(
        "transport:ids:prefix",
        "core 1.4",
        "Ids have the prefixes of the API, the tag 01 and base62 characters.",
    ),
)
