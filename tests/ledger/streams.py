"""Event streams."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "streams:frame:named",
        "core 6.10",
        "Every frame has the event's type as its name and one data line of JSON.",
    ),
    Requirement(
        "streams:frame:unicode", "core 6.10", "Text with unusual line separators arrives unchanged."
    ),
    Requirement(
        "streams:ping:silence", "core 6.10", "A quiet stream sends pings that clients skip."
    ),
    Requirement(
        "streams:open:unknown",
        "core 6.10",
        "An unknown session is answered 404 JSON, not a stream.",
    ),
    Requirement(
        "streams:open:from-now",
        "core 6.10",
        "A stream opened first shows only what happens afterwards.",
    ),
    Requirement(
        "streams:open:replay",
        "core 6.10",
        "A stream opened after the send, with none open before, replays from that event.",
    ),
    Requirement("streams:open:same-bytes", "core 6.9", "Listed and streamed events are the same."),
    Requirement(
        "streams:queued:twice",
        "core 12a",
        "A queued event is streamed when accepted and again when consumed, with one id.",
    ),
    Requirement(
        "streams:deltas:opt-in",
        "core 6.5",
        "Previews are sent only for the types in event_deltas[].",
    ),
    Requirement(
        "streams:deltas:values", "core 6.5", "Any other value, or more than 100, is answered 400."
    ),
    Requirement(
        "streams:deltas:ids", "core 6.5", "The announced id is the id of the event that follows."
    ),
    Requirement(
        "streams:deltas:prefix",
        "core 6.5",
        "The deltas of an index are a prefix of its final text, indices without gaps.",
    ),
    Requirement(
        "streams:deltas:thinking", "core 6.5", "agent.thinking is announced and has no deltas."
    ),
    Requirement(
        "streams:deltas:interrupted",
        "core 6.5",
        "A failed request has no final event; its span end closes the preview.",
    ),
    Requirement("streams:end:deleted", "core 6.10", "The stream ends after session.deleted."),
    Requirement(
        "streams:end:terminated", "core 6.10", "The stream ends after session.status_terminated."
    ),
    Requirement(
        "streams:disconnect:harmless",
        "core 6.10",
        "A client that leaves changes nothing of the session.",
    ),
)
