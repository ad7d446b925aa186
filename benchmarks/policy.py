"""What a decision costs: ours, Casbin's and a hand-written table's, over the same policies.

Each of N policies permits one agent one tool on one server, up to an amount and within a prefix;
the same holds for users, and three forbids hold for everyone. Half of the calls are allowed, and
everyone decides every call alike, or nothing is printed. Casbin is measured if it is installed
(``pip install casbin``); it and the table do what they can: both keys, but no schema, no third
outcome, no state of the session.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.policy.arguments import read_shape
from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import (
    AgentFacts,
    CallFacts,
    Facts,
    ServerFacts,
    SessionFacts,
    ToolFacts,
    UserFacts,
)
from gateway.policy.schema import ToolShape, Vocabulary

POLICIES, RELOADED, CALLS, SEED = 10_000, 1_000, 400, 7
ALLOW_MS, DENY_MS = 0.5, 1.0
_TOOLS = [f"tool_{number}" for number in range(20)]
_LIMIT = 500
_CALLERS = 200
"""Agents that take part; a gateway remembers some thousands."""
_FEW = 40
"""Calls for whom each takes tens of milliseconds."""
_PROPERTIES = {"amount": {"type": "integer"}, "repo": {"type": "string"}}
_SHAPE = read_shape({"properties": _PROPERTIES, "required": ["amount", "repo"]})
_FORBIDS = """
@id("loud") forbid (principal, action, resource) when { context.session.calls_last_minute > 600 };
@id("two") @ask("security") forbid (principal, action in Action::"egress", resource)
when { context.session.read_private && context.session.read_untrusted }
unless { context.approval.granted };
@id("pin") forbid (principal, action, resource is Server) unless { resource.pinned };
"""
_MODEL = """
[request_definition]
r = sub, obj, act, amount, repo
[policy_definition]
p = sub, obj, act, limit, prefix
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act && within(r.amount, p.limit) \
&& keyMatch(r.repo, p.prefix)
"""


@dataclass(frozen=True)
class Row:
    """One policy."""

    principal: tuple[str, str]
    tool: str
    prefix: str


@dataclass(frozen=True)
class Asked:
    """One call."""

    number: int
    amount: int
    repo: str

    @property
    def allowed(self) -> bool:
        return self.amount <= _LIMIT


def main() -> None:
    """Print the table."""
    rows = [row for number in range(POLICIES // 2) for row in _rows(number)]
    began = time.perf_counter()
    enterprise = Enterprise(_text(rows), _vocabulary())
    loaded = time.perf_counter() - began
    draw = random.Random(SEED)
    callers = draw.sample(range(POLICIES // 2), _CALLERS)
    calls = [
        Asked(draw.choice(callers), _LIMIT + (1 if number % 2 else -1), "acme/api")
        for number in range(CALLS)
    ]
    deciders: dict[str, Callable[[Asked], bool]] = {
        "hand-written table": _table(rows),
        "Wharfkeep": lambda asked: _ours(enterprise, asked) == "allow",
    }
    if (casbin := _casbin(rows)) is not None:
        deciders["Casbin"] = casbin
    print(f"{POLICIES:,} policies, CPU microseconds a decision, median of {CALLS // 2} each\n")
    print("| | allow | deny | of the table | of Wharfkeep |")
    print("|---|--:|--:|--:|--:|")
    figures = {
        name: _measure(decide, calls[:_FEW] if name == "Casbin" else calls)
        for name, decide in deciders.items()
    }
    table, own = figures["hand-written table"][0], figures["Wharfkeep"][0]
    for name, (allow, deny) in figures.items():
        print(f"| {name} | {allow:.1f} | {deny:.1f} | {allow / table:.0f}x | {allow / own:.2f}x |")
    allow, deny = figures["Wharfkeep"]
    print(
        f"\nAims: allow {allow / 1000:.2f} of {ALLOW_MS} ms, deny {deny / 1000:.2f} of {DENY_MS} ms"
    )
    print(f"Reading {POLICIES:,} policies: {loaded:.1f} s; {RELOADED:,}: {_reload(rows):.2f} s")
    if "Casbin" not in figures:
        print("Casbin is not installed and was left out.")


def _measure(decide: Callable[[Asked], bool], calls: list[Asked]) -> tuple[float, float]:
    """Median CPU microseconds of an allowed and of a denied call, everything warm."""
    spent: dict[bool, list[float]] = {True: [], False: []}
    for warming in (True, False):
        for asked in calls if not warming else calls[: len(calls) // 4] + calls:
            began = time.thread_time()
            allowed = decide(asked)
            took = time.thread_time() - began
            if allowed is not asked.allowed:
                sys.exit(f"{asked} was decided otherwise than it should be")
            if not warming:
                spent[allowed].append(took * 1e6)
    return tuple(sorted(each)[len(each) // 2] for each in (spent[True], spent[False]))  # pyright: ignore[reportReturnType] - two of them


def _rows(number: int) -> list[Row]:
    tool = _TOOLS[number % len(_TOOLS)]
    return [
        Row(("Agent", f"agent_{number}"), tool, "acme/*"),
        Row(("User", f"user_{number}"), tool, "acme/*"),
    ]


def _text(rows: list[Row]) -> str:
    permits = (
        f'@id("p{number}") permit (principal == {row.principal[0]}::"{row.principal[1]}",'
        f' action == Action::"shop.{row.tool}", resource == Server::"https://shop.example")'
        f' when {{ context.args.amount <= {_LIMIT} && context.args.repo like "{row.prefix}" }};'
        for number, row in enumerate(rows)
    )
    return "\n".join([*permits, _FORBIDS])


def _vocabulary() -> Vocabulary:
    effects: Any = frozenset({"write", "egress"})
    return Vocabulary(
        tools=[
            ToolShape(server="shop", name=name, arguments=_SHAPE, effects=effects)
            for name in _TOOLS
        ]
    )


def _ours(enterprise: Enterprise, asked: Asked) -> str:
    """The whole decision, facts and arguments included."""
    tool = ToolFacts(server="shop", name=_TOOLS[asked.number % len(_TOOLS)], digest="d")
    facts = Facts(
        agent=AgentFacts(id=f"agent_{asked.number}", version=1, workspace="w"),
        user=UserFacts(id=f"user_{asked.number}", kind="user"),
        server=ServerFacts(id="https://shop.example", kind="shop"),
        session=SessionFacts(id="s", read_private=True, calls_last_minute=3),
        now=1_790_000_000_000_000,
    )
    call = CallFacts(tool, {"amount": asked.amount, "repo": asked.repo})
    return enterprise.decide(call, facts).outcome


def _table(rows: list[Row]) -> Callable[[Asked], bool]:
    """A dictionary by principal and tool: the least that could decide the same."""
    permits = {(row.principal, row.tool): row.prefix.rstrip("*") for row in rows}

    def decide(asked: Asked) -> bool:
        tool = _TOOLS[asked.number % len(_TOOLS)]
        return all(
            (prefix := permits.get(((kind, f"{name}_{asked.number}"), tool))) is not None
            and asked.amount <= _LIMIT
            and asked.repo.startswith(prefix)
            for kind, name in (("Agent", "agent"), ("User", "user"))
        )

    return decide


def _casbin(rows: list[Row]) -> Callable[[Asked], bool] | None:
    try:
        import casbin  # pyright: ignore[reportMissingImports] - measured only where it is installed
    except ImportError:
        return None
    model = casbin.Model()
    model.load_model_from_text(_MODEL)
    enforcer = casbin.Enforcer(model)
    enforcer.add_function("within", _within)
    enforcer.add_policies(
        [[row.principal[1], "shop", row.tool, str(_LIMIT), row.prefix] for row in rows]
    )

    def decide(asked: Asked) -> bool:
        tool = _TOOLS[asked.number % len(_TOOLS)]
        given = ("shop", tool, str(asked.amount), asked.repo)
        return all(enforcer.enforce(f"{name}_{asked.number}", *given) for name in ("agent", "user"))

    return decide


def _within(amount: str, limit: str) -> bool:
    return int(amount) <= int(limit)


def _reload(rows: list[Row]) -> float:
    text = _text(rows[:RELOADED])
    began = time.perf_counter()
    Enterprise(text, _vocabulary())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
