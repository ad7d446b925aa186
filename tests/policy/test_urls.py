"""Which URLs a conversation has shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.urls import Shown, urls
from tests.ledger.requirement import requirement
from toolservers.web import address

Json = dict[str, Any]

ALL: Json = {"user_input": None, "client_tool_results": None, "server_tool_results": None}
NONE: Json = {source: {"type": "none"} for source in ALL}


def _texts(*texts: str) -> list[Json]:
    return [{"type": "text", "text": text} for text in texts]


def _called(name: str, kind: str = "agent.tool_use") -> Json:
    return {"type": kind, "id": f"sevt_{name}", "name": name, "input": {}}


def _result(name: str, content: list[Json], *, is_error: bool = False) -> Json:
    body = {"tool_use_id": f"sevt_{name}", "content": content, "is_error": is_error}
    return {"type": "agent.tool_result", **body}


def _custom(name: str, *texts: str) -> list[Json]:
    result = {"type": "user.custom_tool_result", "custom_tool_use_id": f"sevt_{name}"}
    return [_called(name, "agent.custom_tool_use"), {**result, "content": _texts(*texts)}]


CONVERSATION: list[Json] = [
    {"type": "user.message", "content": [*_texts("see http://user.example/a."), {"type": "image"}]},
    {"type": "user.define_outcome", "description": "like http://outcome.example/"},
    {"type": "agent.message", "content": _texts("I know http://model.example/")},
    *_custom("lookup", "http://lookup.example/"),
    *_custom("other", "http://other.example/"),
    _called("web_search"),
    _result(
        "web_search",
        [
            {
                "type": "search_result",
                "source": "https://found.example/",
                "title": "t",
                "content": _texts("in the text: https://excerpt.example/x"),
            }
        ],
    ),
    _called("web_fetch"),
    _result(
        "web_fetch",
        [
            {
                "type": "document",
                "context": "https://page.example/",
                "source": {"type": "text", "data": "[link](https://linked.example/y)"},
            }
        ],
    ),
    _called("bash"),
    _result("bash", _texts("http://bash.example/")),
    _called("denied"),
    _result("web_fetch", _texts("url_not_allowed: http://refused.example/"), is_error=True),
]


def shown(sources: Json) -> set[str]:
    names = {
        *("user", "outcome", "model", "lookup", "other", "found", "excerpt", "page", "linked"),
        *("bash", "refused"),
    }
    paths = {"user": "/a", "excerpt": "/x", "linked": "/y"}
    return {
        name
        for name in names
        if Shown(sources).holds(
            address.parse(f"https://{name}.example{paths.get(name, '/')}"), CONVERSATION
        )
    }


USER = {"user", "outcome"}
CLIENT = {"lookup", "other"}
SEARCH = {"found", "excerpt"}
FETCH = {"page", "linked"}


def _filter(kind: str, *names: str) -> Json:
    return {"type": kind, "tools": [{"type": "tool_reference", "name": name} for name in names]}


@requirement("web:sources:where")
@pytest.mark.parametrize(
    ("sources", "counted"),
    [
        (ALL, USER | CLIENT | SEARCH | FETCH),
        ({}, USER | CLIENT | SEARCH | FETCH),
        (NONE, set()),
        ({**NONE, "user_input": {"type": "all"}}, USER),
        ({**NONE, "client_tool_results": {"type": "all"}}, CLIENT),
        ({**NONE, "client_tool_results": _filter("only", "lookup")}, {"lookup"}),
        ({**NONE, "client_tool_results": _filter("except", "lookup")}, {"other"}),
        ({**NONE, "server_tool_results": {"type": "all"}}, SEARCH | FETCH),
        ({**NONE, "server_tool_results": _filter("only", "web_search")}, SEARCH),
        ({**NONE, "server_tool_results": _filter("except", "web_search")}, FETCH),
        ({**NONE, "client_tool_results": _filter("only", "Lookup")}, set()),
    ],
)
def test_a_url_counts_where_its_source_does(sources: Json, counted: set[str]):
    assert shown(sources) == counted


@requirement("web:sources:same")
@pytest.mark.parametrize(
    ("text", "url", "same"),
    [
        ("http://a.example", "http://a.example/", True),
        ("HTTP://A.Example:80/x/", "https://a.example/x", True),
        ("http://a.example/x#part", "http://a.example/x", True),
        ("www.a.example/x", "https://www.a.example/x", True),
        ("(see http://a.example/x).", "http://a.example/x", True),
        ("**http://a.example/x**,", "http://a.example/x", True),
        ("[a](http://a.example/w_(x))", "http://a.example/w_(x)", True),
        ("[http://a.example/x](http://b.example)", "http://a.example/x", True),
        ("<http://a.example/x>", "http://a.example/x", True),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4", True),
        ("http://a.example/x", "http://a.example/x?leak=secret", False),
        ("http://a.example/x", "http://a.example/", False),
        ("http://a.example/x", "http://a.example:8080/x", False),
        ("http://a.example/x", "http://www.a.example/x", False),
        ("a.example/x", "http://a.example/x", False),
        ("ftp://a.example/x", "http://a.example/x", False),
    ],
)
def test_two_spellings_of_one_address_are_the_same(text: str, url: str, same: bool):
    message = {"type": "user.message", "content": _texts(text)}
    assert Shown(ALL).holds(address.parse(url), [message]) is same


def test_a_conversation_can_be_read_in_pieces():
    reader = Shown(ALL)
    wanted = address.parse("https://found.example/")
    assert [reader.holds(wanted, [event]) for event in CONVERSATION].count(True) == 1


@given(st.text())
def test_any_text_can_be_read(text: str):
    for found in urls([text, f"http://{text}"]):
        assert address.parse(str(found)).host == found.host


@pytest.mark.parametrize("text", ["see http://!,", "http://?"])
def test_what_only_looks_like_an_address_shows_nothing(text: str):
    assert list(urls([text])) == []


def test_an_image_in_a_result_shows_no_address():
    image = {"type": "image", "source": {"type": "url", "url": "https://image.example/"}}
    conversation: list[Json] = [
        {"type": "agent.tool_use", "id": "a", "name": "web_fetch"},
        {"type": "agent.tool_result", "tool_use_id": "a", "is_error": False, "content": [image]},
    ]
    assert not Shown({}).holds(address.parse("https://image.example/"), conversation)
