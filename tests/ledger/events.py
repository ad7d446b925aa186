"""Events: sent, listed, and what they do."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "events:send:echo",
        "core 6.2",
        "A send answers {data} with the events, their ids and processed_at.",
    ),
    Requirement(
        "events:send:atomic", "core 6.2", "One bad event and the whole request is refused."
    ),
    Requirement("events:send:count", "core 6.2", "A request holds 1 to 100 events."),
    Requirement(
        "events:send:types", "core 6.3", "Seven types can be sent; any other is answered 400."
    ),
    Requirement(
        "events:send:queued",
        "core 6.1",
        "processed_at is null until an event is consumed, but for the three processed on receipt.",
    ),
    Requirement(
        "events:send:archived",
        "core 10.3",
        "An archived or terminated session takes no event: 400.",
    ),
    Requirement("events:content:blocks", "core 6.1", "Each type takes its own kinds of blocks."),
    Requirement(
        "events:content:redacted", "core 6.1", "A redacted block from a client is answered 400."
    ),
    Requirement(
        "events:content:base64",
        "core 6.1",
        "Broken base64 and unknown media types are answered 400.",
    ),
    Requirement(
        "events:content:file-documents",
        "core 6.2",
        "At most 100 documents of a request come from files.",
    ),
    Requirement(
        "events:content:blank",
        "core 6.3",
        "A blank text in user.message or system.message is answered 400.",
    ),
    Requirement(
        "events:message:idle", "core 6.3", "user.message starts a turn of an idle session."
    ),
    Requirement(
        "events:message:running", "core 8.1", "Sent during a turn it waits for the end of it."
    ),
    Requirement(
        "events:message:waiting",
        "core 6.3",
        "While the session waits for a client it is answered 400 with the ids waited for.",
    ),
    Requirement(
        "events:interrupt:turn",
        "core 6.8",
        "user.interrupt stops the turn; it ends idle with end_turn.",
    ),
    Requirement(
        "events:interrupt:then-message",
        "core 6.8",
        "A message behind an interrupt in the same request starts a new turn.",
    ),
    Requirement(
        "events:interrupt:waiting", "core 6.8", "Interrupted waiting calls get error results."
    ),
    Requirement(
        "events:interrupt:idle", "core 6.8", "On an idle session an interrupt does nothing."
    ),
    Requirement(
        "events:interrupt:terminated-thread",
        "core 10.3",
        "Naming a terminated thread is answered 400.",
    ),
    Requirement(
        "events:confirmation:allow", "core 2.8", "allow runs the tool; its result follows."
    ),
    Requirement(
        "events:confirmation:deny",
        "core 2.8",
        "deny gives the model an error result with deny_message.",
    ),
    Requirement(
        "events:confirmation:deny-message", "core 6.3", "deny_message is only taken with deny."
    ),
    Requirement(
        "events:confirmation:unasked",
        "core 10.3",
        "Confirming a call that was not asked about is answered 400.",
    ),
    Requirement(
        "events:confirmation:approver",
        "core 6.3",
        "Whoever may not approve what an enterprise policy asks about is answered 403.",
        divergence="the API has no such policies; anybody may send any confirmation",
    ),
    Requirement(
        "events:confirmation:once", "core 10.3", "A second answer to a call is answered 400."
    ),
    Requirement(
        "events:confirmation:late",
        "core 2.8",
        "What an enterprise policy asks about is denied in the end, and a later answer is answered"
        " 400.",
        divergence="the API waits for ever, as we do for what only the toolset asks",
    ),
    Requirement(
        "events:custom-result:resolves",
        "core 6.3",
        "user.custom_tool_result answers the call, also before the session is idle.",
    ),
    Requirement(
        "events:custom-result:unknown", "core 10.3", "An unknown or answered call is answered 400."
    ),
    Requirement(
        "events:tool-result:cloud",
        "core 6.3",
        "user.tool_result in a cloud environment is answered 400.",
    ),
    Requirement(
        "events:tool-result:ignored-thread", "core 6.3", "session_thread_id on answers is ignored."
    ),
    Requirement(
        "events:outcome:fields",
        "resources G-1",
        "define_outcome: rubric required, max_iterations 1-20, 3 by default.",
    ),
    Requirement(
        "events:outcome:rubric", "resources G-2", "A text rubric has up to 262,144 characters."
    ),
    Requirement(
        "events:outcome:one-active",
        "resources G-5",
        "A second outcome while one is active is answered 400.",
    ),
    Requirement(
        "events:system:trailer",
        "core 6.3",
        "At most one system.message, last, directly after what it accompanies.",
    ),
    Requirement(
        "events:system:alone", "core 14", "Alone it is accepted when the session is not waiting."
    ),
    Requirement(
        "events:list:order",
        "core 6.9",
        "Ascending by default; queued events come after all processed ones.",
    ),
    Requirement("events:list:types", "core 6.4", "types[] takes exactly the 41 persisted names."),
    Requirement("events:list:ranges", "core 6.9", "created_at filters compare processed_at."),
    Requirement("events:list:append-only", "core 6.9", "The order of listed events never changes."),
    Requirement(
        "events:turn:order",
        "core 12a",
        "Session running, thread running, request start, message, request end, thread idle, usage, session idle.",
    ),
    Requirement(
        "events:turn:usage-before-idle",
        "core 6.4",
        "session.usage comes directly before every session.status_idle.",
    ),
    Requirement(
        "events:turn:stop-reason",
        "core 5.5",
        "The idle event tells why: end_turn, requires_action, retries_exhausted, budget_reached, refusal.",
    ),
    Requirement("events:turn:refusal", "core 5.5", "A refusal carries stop_details."),
    Requirement(
        "events:action:blocking-set",
        "core 6.7",
        "requires_action lists every open ask and custom call.",
    ),
    Requirement("events:action:partial", "core 6.7", "Resolving some re-emits idle with the rest."),
    Requirement(
        "events:action:resume",
        "core 6.7",
        "Resolving all goes on with one combined result message.",
    ),
    Requirement(
        "events:tool:policies",
        "core 2.8",
        "always_allow runs at once, always_ask waits, a disabled tool is denied.",
    ),
    Requirement(
        "events:tool:evaluation",
        "core 2.8",
        "evaluated_permission and evaluation tell what was decided and why.",
    ),
    Requirement(
        "events:auto:intent",
        "core 2.8",
        "auto judges with tool, input and session; only text of user.message is what the user "
        "wants.",
    ),
    Requirement(
        "events:auto:indeterminate",
        "core 2.8",
        "A call under auto that could not be judged asks, with reason_code indeterminate.",
    ),
    Requirement(
        "events:tool:spill",
        "core 2.7.1",
        "Outputs above 100,000 characters go to a file and are previewed.",
    ),
    Requirement(
        "events:error:retrying",
        "core 8.3",
        "A transient failure: session.error retrying, rescheduled, running again.",
    ),
    Requirement(
        "events:error:exhausted",
        "core 8.3",
        "Spent retries: session.error exhausted, idle with retries_exhausted.",
    ),
    Requirement(
        "events:error:limits",
        "core 8.3",
        "Too many tool rounds or compactions end the turn with their own errors.",
    ),
    Requirement(
        "events:span:usage",
        "core 8.2",
        "Every attempt has a start and an end; a failed one is_error with zero usage.",
    ),
    Requirement("events:thinking:signal", "core 6.4", "agent.thinking carries no text."),
    Requirement(
        "events:compaction:event",
        "core 8.4",
        "Compaction shows as agent.thread_context_compacted; the list keeps everything.",
    ),
    Requirement(
        "events:absence:table",
        "core 12a",
        "Fields of the absence table are left out when unset; all others are null.",
    ),
)
