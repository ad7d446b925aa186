"""A set of Cedar policies, parsed once and asked many times.

Cedar looks at every policy for every request; `Policies` first cuts the set down to those whose
scope can match, which decides the same (a policy whose scope does not match never applies) and
takes the same time however many there are. Errors never allow: a policy that fails, or a request
that the schema refuses, is reported beside the verdict and the caller denies.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cedarpy
from cedarpy import Entities, pst

from gateway.policy.sources import cut

Uid: TypeAlias = tuple[str, str]
"""Type and id of an entity."""

_MAX_SLICES = 4096
_PORTION = 50
"""Policies that are turned into trees at once, which takes a few milliseconds."""


class PolicyInvalid(Exception):
    """Policies that cannot be used; one line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Member:
    """An entity and everything it is in."""

    uid: Uid
    within: frozenset[Uid] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May each of these principals do this to that?"""

    principals: tuple[Member, ...]
    action: str
    groups: frozenset[str]
    """Every group the action is in."""
    resource: Member
    context: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    policies: tuple[str, ...]
    """Ids of those that decided; none when nothing permitted."""
    errors: tuple[str, ...] = ()


class Policies:
    """A parsed and checked set; immutable."""

    def __init__(self, text: str, schema: str) -> None:
        """Parse and check; takes a while for thousands of policies, and other threads go on.

        Raises:
            PolicyInvalid: They do not parse, do not type-check, or lack an ``@id`` of their own.
        """
        try:
            self._schema = cedarpy.Schema.from_str(schema, release_gil=True)
            self._whole = cedarpy.PolicySet.from_str(text, release_gil=True)
            self._nodes = _read_nodes(text)
        except ValueError as error:
            raise PolicyInvalid([str(error)]) from error
        self._check(text)
        self._by_action = _index(self._nodes)
        self._slices: OrderedDict[object, cedarpy.PolicySet] = OrderedDict()
        self._asks = {
            node.annotations["id"]: node.annotations["ask"]
            for node in self._nodes.values()
            if "ask" in node.annotations
        }

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def nodes(self) -> Mapping[str, pst.Template]:
        """The policies as trees, by their ``@id``."""
        return {node.annotations["id"]: node for node in self._nodes.values()}

    @property
    def asks(self) -> Mapping[str, str]:
        """Who has to approve, by the id of the policy that wants it (``@ask("GROUP")``)."""
        return self._asks

    def entities(self, described: Sequence[Mapping[str, Any]]) -> Entities:
        """Check entities, given in Cedar's JSON form, and keep them for many questions.

        Raises:
            ValueError: The schema does not allow them.
        """
        return Entities.from_json_str(json.dumps(described), self._schema)

    def answer(self, question: Question, entities: Entities) -> list[Verdict]:
        """One verdict for each principal, from only the policies that can matter."""
        key = (question.principals, question.action, question.resource)
        chosen = self._slices.get(key)
        if chosen is None:
            chosen = self._slices[key] = self._slice(question)
            if len(self._slices) > _MAX_SLICES:
                self._slices.popitem(last=False)
        else:
            self._slices.move_to_end(key)
        return _ask(question, chosen, entities)

    def answer_slowly(self, question: Question, entities: Entities) -> list[Verdict]:
        """From the whole set. The same, for whoever wants to see that it is."""
        return _ask(question, self._whole, entities)

    def relevant(self, question: Question, principal: Member) -> list[pst.Template]:
        """The policies whose scope holds for that principal, whatever their conditions say."""
        return [
            node for _, node in self._candidates(question) if _may_match(node.principal, principal)
        ]

    def _slice(self, question: Question) -> cedarpy.PolicySet:
        kept = {
            name: node
            for name, node in self._candidates(question)
            if any(_may_match(node.principal, each) for each in question.principals)
        }
        return cedarpy.PolicySet.from_pst(
            pst.PolicySet(
                templates=pst.FrozenMap({}),
                static_policies=pst.FrozenMap(kept),
                template_links=(),
            )
        )

    def _candidates(self, question: Question) -> Iterator[tuple[str, pst.Template]]:
        """Policies about that action and that resource, in a stable order."""
        actions = (None, question.action, *question.groups)
        for name in sorted({name for each in actions for name in self._by_action.get(each, ())}):
            if _may_match(self._nodes[name].resource, question.resource):
                yield name, self._nodes[name]

    def _check(self, text: str) -> None:
        problems: list[str] = []
        seen: set[str] = set()
        for name, node in self._nodes.items():
            own = node.annotations.get("id")
            if not own:
                problems.append(f"{name}: every policy needs an @id of its own")
            elif own in seen:
                problems.append(f'two policies have @id("{own}")')
            seen.add(own or "")
        checked = cedarpy.validate_policies(text, self._schema, release_gil=True)
        names = checked.id_annotations_by_policy_id
        problems += [
            f"{names.get(error.policy_id, error.policy_id)}: {error.error}"
            for error in checked.errors
        ]
        if problems:
            raise PolicyInvalid(problems)


def _read_nodes(text: str) -> dict[str, pst.Template]:
    """The policies as trees, by names of our own.

    In small portions: making a tree keeps every other thread waiting.
    """
    nodes: dict[str, pst.Template] = {}
    policies = [policy for _, policy in cut(text)]
    for start in range(0, len(policies), _PORTION):
        portion = "".join(policies[start : start + _PORTION])
        trees = cedarpy.PolicySet.from_str(portion, release_gil=True).to_pst()
        if trees.templates:
            raise PolicyInvalid(["policies with ?principal or ?resource are not supported"])
        for name, node in trees.static_policies.items():
            own = f"{name}.{start}"
            nodes[own] = replace(node, id=own)
    return nodes


def _index(nodes: Mapping[str, pst.Template]) -> dict[str | None, list[str]]:
    """Names of policies by the action or group their scope names; None is any action."""
    index: dict[str | None, list[str]] = {}
    for name, node in nodes.items():
        match node.action:
            case pst.ActionEq(entity=entity):
                keys: Iterable[str | None] = (entity.id,)
            case pst.ActionIn(entities=entities):
                keys = {entity.id for entity in entities}
            case _:
                keys = (None,)
        for key in keys:
            index.setdefault(key, []).append(name)
    return index


def _may_match(scope: pst.PrincipalOrResourceConstraint, member: Member) -> bool:
    """Whether a scope can hold for the entity; what is not understood can."""
    match scope:
        case pst.ScopeEq(entity=entity):
            return _uid(entity) == member.uid
        case pst.ScopeIn(entity=entity):
            return _is_within(member, entity)
        case pst.ScopeIs(entity_type=kind):
            return str(kind) == member.uid[0]
        case pst.ScopeIsIn(entity_type=kind, entity=entity):
            return str(kind) == member.uid[0] and _is_within(member, entity)
        case _:
            return True


def _is_within(member: Member, entity: pst.EntityOrSlot) -> bool:
    found = _uid(entity)
    return found == member.uid or found in member.within


def _uid(entity: pst.EntityOrSlot) -> Uid:
    assert isinstance(entity, pst.EntityUid), "templates were refused"
    return str(entity.type), entity.id


def _ask(question: Question, policies: cedarpy.PolicySet, entities: Entities) -> list[Verdict]:
    # Requests are not checked against the schema here, which would double the time: they are
    # made from it, and what goes wrong all the same is an error, which allows nothing.
    requests = [
        {
            "principal": _named(member.uid),
            "action": _named(("Action", question.action)),
            "resource": _named(question.resource.uid),
            "context": question.context,
        }
        for member in question.principals
    ]
    try:
        results = cedarpy.is_authorized_batch(requests, policies, entities)
    except ValueError as error:
        return [Verdict(allowed=False, policies=(), errors=(str(error),))] * len(requests)
    return [_verdict(result) for result in results]


def _verdict(result: cedarpy.AuthzResult) -> Verdict:
    found = result.diagnostics
    errors = tuple(found.errors)
    ids = tuple(sorted(found.id_annotations_by_reason.values()))
    return Verdict(result.allowed and not errors, ids, errors)


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}
