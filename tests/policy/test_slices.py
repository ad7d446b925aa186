"""A set cut down to what can matter decides as the whole set does, for any set there is."""

import json
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given, settings

from gateway.policy.cedar import Member, Policies, Question
from gateway.policy.schema import UNLISTED, write_schema
from tests.policy import shop

VOCABULARY = shop.vocabulary()
SCHEMA = write_schema(VOCABULARY)
ACTIONS = (*(tool.action for tool in shop.TOOLS), UNLISTED)
GROUPS = ("call", "read", "write", "destructive", "egress", "money", "pay.*", "mail.*")
NAMES = ("a", "b", "c")

names = st.sampled_from(NAMES)
principals = st.one_of(
    st.just("principal"),
    st.sampled_from(["principal is Agent", "principal is User"]),
    names.map('principal == Agent::"{}"'.format),
    names.map('principal in AgentClass::"{}"'.format),
    names.map('principal is User in Group::"{}"'.format),
    names.map('principal in Group::"{}"'.format),
)
actions = st.one_of(
    st.just("action"),
    st.sampled_from(ACTIONS).map('action == Action::"{}"'.format),
    st.sampled_from(GROUPS).map('action in Action::"{}"'.format),
    st.lists(
        st.sampled_from((*ACTIONS, *GROUPS)).map('Action::"{}"'.format), min_size=1, max_size=3
    ).map(lambda chosen: f"action in [{', '.join(chosen)}]"),
)
resources = st.one_of(
    st.just("resource"),
    st.just("resource is Server"),
    names.map('resource == Server::"{}"'.format),
    names.map('resource in ServerClass::"{}"'.format),
    names.map('resource is Server in ServerClass::"{}"'.format),
)
conditions = st.sampled_from(
    ["", " when { context.session.spent_cents < 5 }", " unless { context.session.read_private }"]
)
effects = st.sampled_from(["permit", "permit", "forbid"])
policies = st.lists(st.tuples(effects, principals, actions, resources, conditions), max_size=12)


@st.composite
def members(draw: st.DrawFn, kind: str, group: str) -> Member:
    """One of a few entities, in some of a few groups."""
    groups = draw(st.frozensets(names, max_size=2))
    return Member((kind, draw(names)), frozenset((group, each) for each in groups))


contexts = st.fixed_dictionaries(
    {
        "session": st.fixed_dictionaries(
            {"spent_cents": st.integers(0, 9), "read_private": st.booleans()}
        )
    }
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    action = draw(st.sampled_from(ACTIONS))
    return Question(
        principals=(draw(members("Agent", "AgentClass")), draw(members("User", "Group"))),
        action=action,
        groups=frozenset(VOCABULARY.groups(action)),
        resource=draw(members("Server", "ServerClass")),
        context=json.dumps(draw(contexts)),
    )


def write(drawn: list[tuple[str, str, str, str, str]]) -> str:
    return "\n".join(
        f'@id("{number}") {effect} ({principal}, {action}, {resource}){condition};'
        for number, (effect, principal, action, resource, condition) in enumerate(drawn)
    )


def entity(member: Member, **attributes: object) -> dict[str, object]:
    return {
        "uid": {"type": member.uid[0], "id": member.uid[1]},
        "attrs": attributes,
        "parents": [{"type": kind, "id": name} for kind, name in member.within],
    }


@settings(max_examples=300, deadline=None)
@given(drawn=policies, question=questions(), context=contexts)
def test_a_slice_decides_as_the_whole_set_does(
    drawn: list[tuple[str, str, str, str, str]], question: Question, context: dict[str, object]
):
    policies = Policies(write(drawn), SCHEMA)
    agent, user = question.principals
    workspace = {"__entity": {"type": "Workspace", "id": "w"}}
    entities = policies.entities(
        [
            entity(agent, workspace=workspace, version=1),
            entity(user, kind="user"),
            entity(question.resource, kind="k", pinned=True),
        ]
    )
    # The second question is answered by the slice that the first one left.
    for each in (question, replace(question, context=json.dumps(context))):
        assert policies.answer(each, entities) == policies.answer_slowly(each, entities)
