"""The tools web_fetch and web_search, once they run."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "web:tools:offered",
        "core 2.7.1",
        "Both are enabled by default, take url and query, and run on our side everywhere.",
    ),
    Requirement(
        "web:domains:match", "core 2.7.1", "An entry covers its host and the hosts below it."
    ),
    Requirement(
        "web:domains:path", "core 2.7.1", "A path in a web_search entry covers what is below it."
    ),
    Requirement(
        "web:domains:refused",
        "core 2.7.1",
        "web_fetch outside its domains, after a redirect too, is an error that says url_not_allowed.",
    ),
    Requirement(
        "web:domains:filtered", "core 2.7.1", "web_search leaves out what its domains do not cover."
    ),
    Requirement(
        "web:sources:where",
        "core 2.7.1",
        "With url_sources, web_fetch takes only URLs that the chosen sources have shown.",
    ),
    Requirement(
        "web:sources:same",
        "core 2.7.1",
        "A shown URL may be spelled otherwise, but not have another path or query.",
    ),
    Requirement(
        "web:fetch:document",
        "core 6.1",
        "A fetched page is a document block: its text, its title, and its address as context.",
    ),
    Requirement(
        "web:fetch:tokens",
        "core 2.7.1",
        "max_content_tokens cuts the text of a page, at four characters a token.",
    ),
    Requirement("web:search:results", "core 6.1", "What was found are search_result blocks."),
    Requirement(
        "web:search:location", "core 2.7.1", "user_location goes to the engines that take one."
    ),
    Requirement(
        "web:search:counted",
        "core 5.2",
        "usage.server_tool_use counts searches that were answered; web_fetch_requests stays 0.",
    ),
    Requirement(
        "web:search:absent",
        "core 2.7.1",
        "Without a configured engine web_search is an error result that says so.",
    ),
    Requirement(
        "web:network:own",
        "core 3.4",
        "An environment's networking does not govern web tools; private addresses stay closed.",
    ),
)
