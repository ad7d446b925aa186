"""Calls worth asking about: at, and just beyond, every constant that some policies compare with.

Where two sets of policies differ, they differ at a boundary that one of them names; so instead of
all calls there are, a few are asked.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, TypeAlias

from cedarpy import pst

from gateway.policy.arguments import Many, Record, Scalar, Shape
from gateway.policy.formula import AtMost, Atom, Equals, Free, Matches, Pattern, atoms
from gateway.policy.ground import CONTEXT, World, condition

Path: TypeAlias = tuple[str, ...]
"""Of a term of the context, such as ``("args", "cents")``."""

ABSENT = object()
"""An argument that is not given."""

MOST = 256
"""Calls for one tool."""
_SCALE = 10_000
_NOTHING = World(terms={}, within={}, attributes={})
_SESSION = frozenset({"read_private", "read_untrusted"})


def find_values(policies: Iterable[pst.Template]) -> dict[Path, list[Any]]:
    """Values of arguments and of the session at which some policy may change its mind."""
    found: dict[Path, list[Any]] = {}
    for policy in policies:
        for atom in atoms(condition(policy, _NOTHING)):
            for path, values in _suggest(atom):
                known = found.setdefault(path, [])
                known += [value for value in values if value not in known]
    return found


def argument_sets(shape: Record, values: Mapping[Path, Sequence[Any]]) -> list[dict[str, Any]]:
    """Arguments for one tool, at most `MOST`: the plainest first, then combinations."""
    choices: dict[str, list[Any]] = {}
    for name, field in shape.fields:
        known = [_fit(field.shape, value) for value in values.get(("args", name), ())]
        fitting = [value for value in known if value is not _MISFIT]
        options = [*([] if field.required else [ABSENT]), *fitting]
        plain = _plain_value(field.shape) if field.required else ABSENT
        choices[name] = options if fitting else [plain]
    return [
        {name: value for name, value in zip(choices, chosen, strict=True) if value is not ABSENT}
        for chosen in islice(product(*choices.values()), MOST)
    ]


def session_states(values: Mapping[Path, Sequence[Any]]) -> list[dict[str, Any]]:
    """States of a session, at most `MOST`: a fresh one first."""
    fresh: dict[str, Any] = {}
    terms = {path[1]: values[path] for path in values if len(path) == 2 and path[0] == "session"}  # noqa: PLR2004 - a path below session
    choices = {
        name: [False, True] if name in _SESSION else sorted({_zero(known), *known})
        for name, known in terms.items()
        if name != "id"
    }
    states = (dict(zip(choices, chosen, strict=True)) for chosen in product(*choices.values()))
    return list(islice(states, MOST)) or [fresh]


def _zero(known: Sequence[Any]) -> Any:
    return "" if isinstance(known[0], str) else 0


def _suggest(atom: Atom) -> Iterator[tuple[Path, list[Any]]]:
    match atom:
        case AtMost(term, value):
            yield from _at(term, [value, value + 1])
        case Equals(term, str(value)):
            yield from _at(term, [value, f"{value}x"])
        case Equals(term, int(value)):
            yield from _at(term, [value, value + 1])
        case Equals():
            return  # entities are no arguments
        case Matches(term, pattern):
            yield from _at(term, [_sample(pattern), "-"])
        case Free(pst.HasAttr(base, (attr,))):
            yield from _at(pst.GetAttr(base, attr), [])
        case Free(pst.BinaryOp("contains", left, pst.StringLit(value))):
            yield from _at(left, [[], [value]])
        case _:
            yield from _at(atom.about, [False, True])


def _at(term: pst.Expr, values: list[Any]) -> Iterator[tuple[Path, list[Any]]]:
    path = _path(term)
    if path:
        yield path, values


def _path(term: pst.Expr) -> Path:
    """Where a term is in the context; nothing if it is not of the context."""
    names: list[str] = []
    while isinstance(term, pst.GetAttr):
        names.append(term.attr)
        term = term.base
    return tuple(reversed(names)) if term == CONTEXT else ()


def _sample(pattern: Pattern) -> str:
    """A text that matches."""
    return "".join(each.value if isinstance(each, pst.Char) else "x" for each in pattern)


_MISFIT = object()


def _fit(shape: Shape, value: Any) -> Any:
    """A value as an argument of that shape, if it can be one."""
    match shape:
        case Scalar("Long") if type(value) is int:
            return value
        case Scalar("decimal") if type(value) is int:
            return value / _SCALE
        case Scalar("String") if isinstance(value, str):
            return value
        case Scalar("Bool") if isinstance(value, bool):
            return value
        case Many(Scalar("String")) if isinstance(value, list):
            return value
        case _:
            return _MISFIT


def _plain_value(shape: Shape) -> Any:
    """The plainest value of a shape."""
    match shape:
        case Scalar(kind):
            return {"String": "x", "Long": 0, "Bool": False, "decimal": 0.0}[kind]
        case Many():
            return []
        case Record(fields):
            return {name: _plain_value(field.shape) for name, field in fields if field.required}
        case _:
            return "x"
