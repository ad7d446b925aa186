"""How search engines are asked, and what their answers come to."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.policy.domains import Domains
from gateway.settings import Web
from gateway.tools.search import (
    Asked,
    BadAnswer,
    Brave,
    Engine,
    Found,
    Query,
    Searxng,
    Tavily,
    engine,
)
from tests.ledger.requirement import requirement

LOCATION = {
    "type": "approximate",
    "city": "Paris",
    "region": "Île-de-France",
    "country": "FR",
    "timezone": "Europe/Paris",
}
BRAVE, TAVILY = Brave("", "key"), Tavily("", "key")
SEARXNG = Searxng("http://10.0.0.5:8888/search-engine/", "")
ENGINES: list[Engine] = [BRAVE, TAVILY, SEARXNG]


def parameters(asked: Asked) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(asked.url).query).items()}


def body(asked: Asked) -> dict[str, Any]:
    assert asked.body is not None
    return json.loads(asked.body)


def answer(of: Engine, *entries: Any) -> str:
    """What the engine says when it finds these; recorded shapes, less what nobody reads."""
    if of is BRAVE:
        renamed = [
            {k if k != "content" else "description": v for k, v in e.items()} for e in entries
        ]
        found = {"type": "search", "results": renamed, "family_friendly": True}
        return json.dumps({"type": "search", "query": {"original": "x"}, "web": found})
    if of is TAVILY:
        found = [{**entry, "score": 0.9, "raw_content": None} for entry in entries]
        return json.dumps({"query": "x", "answer": None, "images": [], "results": found})
    found = [{**entry, "engine": "brave", "positions": [1], "parsed_url": []} for entry in entries]
    return json.dumps({"query": "x", "number_of_results": 0, "results": found, "answers": []})


def entry(url: str, title: str = "Title", content: str = "Text") -> dict[str, str]:
    return {"url": url, "title": title, "content": content}


def test_brave_is_asked_as_its_api_says():
    asked = BRAVE.request(Query("two words"))
    assert (asked.method, asked.body) == ("GET", None)
    assert asked.url.startswith("https://api.search.brave.com/res/v1/web/search?")
    assert parameters(asked) == {
        "q": "two words", "count": "20", "result_filter": "web", "text_decorations": "false",
    }  # fmt: skip
    assert BRAVE.credential == ("x-subscription-token", "key")


def test_tavily_is_asked_as_its_api_says():
    asked = TAVILY.request(Query("two words", count=3))
    assert (asked.method, asked.url) == ("POST", "https://api.tavily.com/search")
    assert body(asked) == {"query": "two words", "max_results": 6}
    assert asked.headers["Content-Type"] == "application/json"
    assert TAVILY.credential == ("authorization", "Bearer key")


def test_searxng_is_asked_where_the_operator_says():
    asked = SEARXNG.request(Query("two words"))
    assert asked.url.startswith("http://10.0.0.5:8888/search-engine/search?")
    assert parameters(asked) == {"q": "two words", "format": "json"}
    assert SEARXNG.credential is None


@requirement("web:search:location")
def test_the_users_location_goes_to_engines_that_take_one():
    query = Query("x", location=LOCATION)
    brave = BRAVE.request(query)
    assert parameters(brave)["country"] == "FR"
    assert brave.headers == {
        "Accept": "application/json",
        "X-Loc-City": "Paris",
        "X-Loc-Country": "FR",
        "X-Loc-Timezone": "Europe/Paris",
    }
    assert body(TAVILY.request(query))["country"] == "france"
    assert SEARXNG.request(query) == SEARXNG.request(Query("x"))


def test_a_country_an_engine_does_not_know_is_none():
    query = Query("x", location={"country": "LI"})
    assert parameters(BRAVE.request(query))["country"] == "ALL"
    assert "country" not in body(TAVILY.request(query))


def test_a_location_cannot_add_a_header():
    query = Query("x", location={"city": "Rome\r\nX-Evil: 1"})
    assert list(BRAVE.request(query).headers) == ["Accept"]


def test_domains_go_to_engines_that_take_them():
    allowed = Query("x", Domains(allowed=("a.org", "B.org/docs", "a.org/x")))
    blocked = Query("x", Domains(blocked=("a.org", "b.org/docs")))
    assert parameters(BRAVE.request(allowed))["goggles"] == "$discard\n$site=a.org\n$site=b.org"
    assert parameters(BRAVE.request(blocked))["goggles"] == "$discard,site=a.org"
    assert body(TAVILY.request(allowed))["include_domains"] == ["a.org", "b.org"]
    assert body(TAVILY.request(blocked))["exclude_domains"] == ["a.org"]
    assert parameters(SEARXNG.request(allowed))["q"] == "x site:a.org OR site:b.org"
    assert parameters(SEARXNG.request(blocked))["q"] == "x"
    many = Query("x", Domains(allowed=tuple(f"d{n}.org" for n in range(64))))
    assert parameters(SEARXNG.request(many))["q"] == "x"


@requirement("web:search:results")
@pytest.mark.parametrize("of", ENGINES)
def test_an_answer_becomes_results(of: Engine):
    said = answer(
        of,
        entry(
            "https://a.example/x", "<b>Big</b> &amp; small", "  Some <strong>text</strong>\n here"
        ),
        entry("https://b.example/", "Only a title", ""),
    )
    assert of.read(said, Query("x")) == [
        Found("Big & small", "https://a.example/x", "Some text here"),
        Found("Only a title", "https://b.example/", "Only a title"),
    ]


def test_a_result_is_shown_as_a_block():
    assert Found("T", "https://a.example/", "x").block() == {
        "type": "search_result",
        "source": "https://a.example/",
        "title": "T",
        "content": [{"type": "text", "text": "x"}],
        "citations": {"enabled": False},
    }


def test_more_excerpts_of_brave_are_part_of_the_text():
    found = {
        "url": "https://a.example/",
        "title": "T",
        "description": "1",
        "extra_snippets": ["2", 3],
    }
    said = json.dumps({"web": {"results": [found]}})
    assert BRAVE.read(said, Query("x"))[0].text == "1 … 2"


@requirement("web:domains:filtered")
@pytest.mark.parametrize("of", ENGINES)
def test_what_the_domains_do_not_cover_is_left_out(of: Engine):
    said = answer(
        of,
        entry("https://evil.example/"),
        entry("https://www.good.example/docs/x"),
        entry("https://good.example/other"),
    )
    query = Query("x", Domains(allowed=("good.example/docs",)))
    assert [found.url for found in of.read(said, query)] == ["https://www.good.example/docs/x"]
    query = Query("x", Domains(blocked=("good.example",)))
    assert [found.url for found in of.read(said, query)] == ["https://evil.example/"]


@pytest.mark.parametrize("of", ENGINES)
def test_no_more_results_come_than_were_asked_for(of: Engine):
    said = answer(of, *(entry(f"https://a{n}.example/") for n in range(20)))
    assert len(of.read(said, Query("x", count=7))) == 7


@pytest.mark.parametrize("of", ENGINES)
def test_nothing_found_is_no_error(of: Engine):
    assert of.read(answer(of), Query("x")) == []
    assert BRAVE.read('{"type": "search", "query": {}}', Query("x")) == []


@pytest.mark.parametrize("of", ENGINES)
@pytest.mark.parametrize(
    "said", ["", "<html>", "[]", "null", '{"results": {}}', '{"error": 1}', "[" * 10**6]
)
def test_an_answer_that_is_none_is_refused(of: Engine, said: str):
    with pytest.raises(BadAnswer):
        of.read(said, Query("x"))


@pytest.mark.parametrize("of", ENGINES)
@pytest.mark.parametrize(
    "broken",
    [
        {}, {"url": 1, "title": "x"}, {"url": "javascript:x", "title": "x"},
        {"url": "https://a.example/"}, {"url": "https://a.example/", "title": None},
        {"url": "https://u:p@a.example/", "title": "x"}, {"url": "https://" + "a" * 9999, "title": "x"},
    ],
)  # fmt: skip
def test_a_result_that_is_none_is_passed_over(of: Engine, broken: dict[str, Any]):
    said = answer(of, broken, entry("https://a.example/"))
    assert [found.url for found in of.read(said, Query("x"))] == ["https://a.example/"]


@pytest.mark.parametrize("of", ENGINES)
def test_long_texts_are_cut(of: Engine):
    said = answer(of, entry("https://a.example/", "t" * 9999, "<" * 99999))
    (found,) = of.read(said, Query("x"))
    assert len(found.title) <= 300
    assert len(found.text) <= 2000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["web", "results", "url", "title", "content", "description", "extra_snippets"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(st.sampled_from(ENGINES), JSON)
def test_any_json_is_read_or_refused(of: Engine, said: Any):
    try:
        found = of.read(json.dumps(said), Query("x"))
    except BadAnswer:
        return
    assert all(result.url and result.title and result.text for result in found)


def test_an_operator_chooses_the_engine():
    assert engine(Web()) is None
    chosen = engine(Web.model_validate({"search": "tavily", "search_key": "k"}))
    assert isinstance(chosen, Tavily)
    assert not chosen.chosen
    own = engine(Web.model_validate({"search": "searxng", "search_url": "http://10.0.0.5:8888"}))
    assert own is not None
    assert own.chosen
    assert (own.base.host, own.base.port) == ("10.0.0.5", 8888)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"search": "brave"}, "search_key or search_key_file"),
        ({"search": "searxng"}, "search_url is needed"),
        ({"search": "searxng", "search_url": "10.0.0.5"}, "search_url"),
        ({"search": "other"}, "search"),
    ],
)
def test_half_a_configuration_is_refused(settings: dict[str, str], told: str):
    with pytest.raises(ValidationError, match=told):
        Web.model_validate(settings)
