"""How usage, cost and running time look on the wire (spec/core 5.2, spec/resources 9.4).

Counters are kept as the wire names them; time is kept in microseconds and shown in seconds with
millisecond precision.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

COUNTERS: dict[str, Any] = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
}


def seconds(micros: int) -> float:
    """Show a duration."""
    return round(micros / 1_000_000, 3)


def usage(counters: dict[str, Any], active_micros: int, cents: str | None) -> dict[str, Any]:
    """Show the usage of a session or a thread.

    Args:
        counters: Token counters by wire name; missing ones read 0.
        active_micros: Running time.
        cents: Exact list cost in US cents; None leaves ``list_cost`` out, as for unpriced models.
    """
    shown: dict[str, Any] = {}
    for name, empty in COUNTERS.items():
        value = counters.get(name, empty)
        shown[name] = {**empty, **value} if isinstance(empty, dict) else value
    shown["active_seconds"] = seconds(active_micros)
    if cents is not None:
        shown["list_cost"] = money(cents)
    return shown


def money(cents: str) -> dict[str, str]:
    """Show an exact amount as whole cents (spec/core 8.6)."""
    whole = Decimal(cents).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return {"amount": str(whole), "currency": "USD"}


def active_micros(stored: int, running_since: int | None, now: int) -> int:
    """Running time up to now: what was stored at the last pause and what has run since."""
    return stored + (now - running_since if running_since is not None else 0)
