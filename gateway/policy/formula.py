"""Formulas over conditions that are not known yet, and whether any situation fulfils them.

`satisfiable` never says no when there is a situation. What it understands it decides exactly:
truth, comparisons with constants, equality with constants, and patterns as far as their text says.
Everything else may be either way, each on its own, so it may say yes where there is none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

from cedarpy import pst

Value: TypeAlias = int | str | pst.EntityUid
Pattern: TypeAlias = tuple[pst.PatternElem, ...]

_BUDGET = 20_000
"""Formulas looked at before the answer is: perhaps."""


@dataclass(frozen=True, slots=True)
class Free:
    """Something that may hold or not; what it is about is nobody's business here."""

    about: pst.Expr


@dataclass(frozen=True, slots=True)
class AtMost:
    term: pst.Expr
    value: int


@dataclass(frozen=True, slots=True)
class Equals:
    term: pst.Expr
    value: Value


@dataclass(frozen=True, slots=True)
class Matches:
    term: pst.Expr
    pattern: Pattern


Atom: TypeAlias = Free | AtMost | Equals | Matches


@dataclass(frozen=True, slots=True)
class Not:
    of: "Formula"


@dataclass(frozen=True, slots=True)
class All:
    of: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of them."""

    of: tuple["Formula", ...]


Formula: TypeAlias = bool | Atom | Not | All | Some


def satisfiable(formula: Formula) -> bool:
    """Whether some situation could fulfil the formula; False only where none does."""
    return _search(formula, {}, [_BUDGET])


def atoms(formula: Formula) -> Iterator[Atom]:
    """Everything that the formula is about; what comes twice is given twice."""
    match formula:
        case bool():
            return
        case Not(of):
            yield from atoms(of)
        case All(of) | Some(of):
            for each in of:
                yield from atoms(each)
        case _:
            yield formula


def matches(pattern: Pattern, text: str) -> bool:
    """Whether a text is one that the pattern stands for."""
    return covers(pattern, tuple(pst.Char(character) for character in text))


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether all that the narrow pattern stands for, the wide one does; False if not known."""
    reached = _spread(wide, {0})
    for element in narrow:
        onward = {place for place in reached if place < len(wide) and wide[place] == element}
        stays = {place for place in reached if _is_wildcard(wide, place)}
        reached = _spread(wide, stays | {place + 1 for place in onward - stays})
    return len(wide) in reached


def _spread(pattern: Pattern, places: set[int]) -> set[int]:
    """These places, and those behind the wildcards there: a wildcard may stand for nothing."""
    reached = set(places)
    for place in sorted(places):
        end = place
        while _is_wildcard(pattern, end):
            end += 1
            reached.add(end)
    return reached


def _is_wildcard(pattern: Pattern, place: int) -> bool:
    return place < len(pattern) and isinstance(pattern[place], pst.Wildcard)


def _search(formula: Formula, known: Mapping[Atom, bool], budget: list[int]) -> bool:
    formula = _reduce(formula, known)
    if isinstance(formula, bool):
        return formula
    budget[0] -= 1
    if budget[0] <= 0:
        return True
    atom = next(atoms(formula))
    for value in (True, False):
        further = {**known, atom: value}
        if _consistent(further, atom) and _search(formula, further, budget):
            return True
    return False


def _reduce(formula: Formula, known: Mapping[Atom, bool]) -> Formula:
    """The formula without what is known; a bool if that decides it."""
    match formula:
        case bool():
            return formula
        case Not(of):
            inner = _reduce(of, known)
            return not inner if isinstance(inner, bool) else Not(inner)
        case All(of):
            return _join(of, known, decides=False)
        case Some(of):
            return _join(of, known, decides=True)
        case _:
            return known.get(formula, formula)


def _join(of: tuple[Formula, ...], known: Mapping[Atom, bool], *, decides: bool) -> Formula:
    left: list[Formula] = []
    for each in of:
        inner = _reduce(each, known)
        if inner is decides:
            return decides
        if not isinstance(inner, bool):
            left.append(inner)
    if not left:
        return not decides
    return Some(tuple(left)) if decides else All(tuple(left))


@dataclass(slots=True)
class _Term:
    """What a situation would have to say of one term."""

    least: int | None = None
    most: int | None = None
    equals: set[Value] = field(default_factory=set[Value])
    differs: set[Value] = field(default_factory=set[Value])
    like: list[Pattern] = field(default_factory=list[Pattern])
    unlike: list[Pattern] = field(default_factory=list[Pattern])

    def learn(self, atom: Atom, value: bool) -> None:
        match atom, value:
            case AtMost(_, bound), True:
                self.most = bound if self.most is None else min(self.most, bound)
            case AtMost(_, bound), False:
                self.least = bound + 1 if self.least is None else max(self.least, bound + 1)
            case Equals(_, constant), _:
                (self.equals if value else self.differs).add(constant)
            case _:
                assert isinstance(atom, Matches), "nothing is known of what is free"
                (self.like if value else self.unlike).append(atom.pattern)

    def possible(self) -> bool:
        if len(self.equals) > 1 or self.equals & self.differs:
            return False
        if not all(self._allows(constant) for constant in self.equals):
            return False
        if self._is_empty():
            return False
        if any(covers(no, yes) for no in self.unlike for yes in self.like):
            return False
        return not any(_clash(one, other) for one in self.like for other in self.like)

    def _allows(self, constant: Value) -> bool:
        if isinstance(constant, int):
            return not (
                (self.least is not None and constant < self.least)
                or (self.most is not None and constant > self.most)
            )
        if isinstance(constant, str):
            return all(matches(each, constant) for each in self.like) and not any(
                matches(each, constant) for each in self.unlike
            )
        return True

    def _is_empty(self) -> bool:
        """Whether no number is left between the bounds."""
        if self.least is None or self.most is None:
            return False
        room = self.most - self.least + 1
        if room > len(self.differs):
            return False
        return all(number in self.differs for number in range(self.least, self.most + 1))


def _consistent(known: Mapping[Atom, bool], latest: Atom) -> bool:
    """Whether what is known of the latest atom's term can be true together."""
    if isinstance(latest, Free):
        return True
    term = _Term()
    for atom, value in known.items():
        if not isinstance(atom, Free) and atom.term == latest.term:
            term.learn(atom, value)
    return term.possible()


def _clash(one: Pattern, other: Pattern) -> bool:
    """Whether no text matches both, by what they begin and what they end with."""
    return _parts(one, other) or _parts(one[::-1], other[::-1])


def _parts(one: Pattern, other: Pattern) -> bool:
    """Whether two patterns differ before the first wildcard of either."""
    pairs = takewhile(_are_plain, zip(one, other, strict=False))
    return any(here != there for here, there in pairs)


def _are_plain(pair: tuple[pst.PatternElem, pst.PatternElem]) -> bool:
    return not any(isinstance(each, pst.Wildcard) for each in pair)
