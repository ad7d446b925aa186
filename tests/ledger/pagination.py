"""Lists and their pages."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "pagination:forward:shape",
        "core 1.3",
        "A page is {data, next_page}; next_page is null on the last page.",
    ),
    Requirement(
        "pagination:forward:no-prev", "core 1.3", "Lists other than sessions have no prev_page."
    ),
    Requirement(
        "pagination:forward:iterates",
        "resources P-1",
        "The SDK's iterator yields every object once and stops.",
    ),
    Requirement(
        "pagination:sessions:two-way",
        "core 1.3",
        "Sessions have prev_page, null on the first page; it leads back.",
    ),
    Requirement(
        "pagination:cursor:opaque",
        "resources P-2",
        "A damaged, cut or foreign cursor is answered 400, naming page.",
    ),
    Requirement(
        "pagination:cursor:order", "core 1.3", "A cursor of another order is answered 400."
    ),
    Requirement(
        "pagination:cursor:range",
        "core 1.3",
        "A cursor outside a changed created_at range is answered 400.",
    ),
    Requirement(
        "pagination:cursor:limit-may-change",
        "resources P-2",
        "limit and other filters may change between pages.",
    ),
    Requirement(
        "pagination:cursor:stable",
        "core 1.3",
        "Objects created between two pages are neither skipped nor repeated.",
    ),
    Requirement(
        "pagination:limit:default", "core 1.3", "Lists have their documented default page sizes."
    ),
    Requirement(
        "pagination:limit:range",
        "resources P-4",
        "limit 0 and limits above the maximum are answered 400.",
    ),
    Requirement(
        "pagination:order:newest-first",
        "resources C-9",
        "Agents, versions, environments and sessions are listed newest first by default.",
    ),
)
