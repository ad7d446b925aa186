"""What a session has cost, and the rules for the cap on it (spec/core 5.6, 8.6)."""

from decimal import Decimal
from typing import Any, TypeAlias

from gateway.api import multiagent
from gateway.errors import InvalidRequest
from gateway.model.price import Prices
from gateway.store.records import SessionRow
from gateway.wire.usage import active_micros

Json: TypeAlias = dict[str, Any]


def active(row: SessionRow, now: int) -> int:
    """Microseconds the session has been running, up to now if it runs."""
    return active_micros(row.head.usage.get("active_micros", 0), row.head.running_since, now)


def spent(row: SessionRow, prices: Prices, now: int) -> Decimal:
    """The exact list cost so far, in US cents: tokens and running time."""
    return Decimal(row.head.cost) + prices.runtime_cents(active(row, now))


def check_priced(agent: Json, prices: Prices) -> None:
    """Check that everything a session's agent can run has a list price.

    Raises:
        InvalidRequest: With code ``model_not_budgetable``.
    """
    for model in _models(agent):
        if not prices.priced(model):
            raise InvalidRequest(
                f"budget: model {model!r} has no list price (model_not_budgetable)",
                code="model_not_budgetable",
            )


def check_change(row: SessionRow, given: Json, prices: Prices, now: int) -> None:
    """Check a new cap on a session that has one.

    Raises:
        InvalidRequest: With code ``budget_create_only``, ``model_not_budgetable`` or
            ``budget_not_raised``.
    """
    if row.body["budget"] is None:
        raise InvalidRequest(
            "budget: a budget can only be set when a session is created, and once removed it"
            " cannot come back (budget_create_only)",
            code="budget_create_only",
        )
    check_priced(row.body["agent"], prices)
    cost = spent(row, prices, now)
    if Decimal(given["max_list_cost"]["amount"]) <= cost:
        raise InvalidRequest(
            f"budget.max_list_cost: the cap must be greater than the consumed cost, {cost:.2f}"
            " cents (budget_not_raised)",
            code="budget_not_raised",
        )


def _models(agent: Json) -> list[str]:
    models = [agent["model"]["id"]]
    block = agent["multiagent"]
    models += [member["model"]["id"] for member in multiagent.listed(block)]
    consulted = multiagent.advisor(block)
    return models if consulted is None else [*models, consulted]
