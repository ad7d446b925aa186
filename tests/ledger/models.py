"""The list of language models."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "models:list:shape", "resources MD-1", "A page is {data, has_more, first_id, last_id}."
    ),
    Requirement(
        "models:list:after",
        "resources MD-1",
        "after_id gives the page after that model, before_id the one before.",
    ),
    Requirement(
        "models:list:lifecycle",
        "resources MD-1",
        "lifecycle[] filters; retired models are listed only on request.",
    ),
    Requirement("models:list:limit", "resources MD-1", "limit is 1 to 1000, 20 by default."),
    Requirement("models:retrieve:known", "resources MD-2", "A model is retrieved by its id."),
    Requirement("models:retrieve:unknown", "resources MD-2", "An unknown model is answered 404."),
    Requirement(
        "models:object:capabilities",
        "resources MD-4",
        "Capabilities are told honestly as {supported} leaves.",
    ),
)
