"""Session threads."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "threads:primary:exists",
        "core 7.1",
        "Every session has a primary thread, without a parent, in its list.",
    ),
    Requirement(
        "threads:primary:first-status",
        "core 4.9",
        "The first session.thread_status event of a log is the primary thread's.",
    ),
    Requirement(
        "threads:object:stats",
        "core 7.1",
        "stats are null before the first transition, usage before the first idle.",
    ),
    Requirement(
        "threads:list:statuses",
        "core 7.1",
        "statuses[] filters; terminated and archived threads are listed.",
    ),
    Requirement("threads:list:limit", "core 1.3", "1000 threads a page by default."),
    Requirement("threads:retrieve:unknown", "core 10.3", "An unknown thread is answered 404."),
    Requirement(
        "threads:archive:primary", "core 7.2", "The primary thread cannot be archived: 400."
    ),
    Requirement(
        "threads:events:own", "core 6.9", "A thread's list shows that thread's events only."
    ),
    Requirement(
        "threads:stream:own",
        "core 6.5",
        "A thread's stream shows that thread's events, previews included.",
    ),
    Requirement(
        "threads:status:events",
        "core 6.4",
        "Every session emits thread status events for its primary thread.",
    ),
)
