"""Search engines: how a query becomes a request, and an answer becomes results.

Pure. The request is sent from the web sandbox, through the egress proxy, which attaches the key.
An answer is hostile: what does not look like a result is passed over, and sizes are bounded.
"""

import html
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

from gateway.policy.domains import Domains
from gateway.settings import Web
from toolservers.web import address
from toolservers.web.address import Address

MAX_QUERY = 400
"""Characters; what Brave and Tavily take at most."""

_MAX_TEXT = 2000
_MAX_TITLE = 300
_MAX_SITES = 8
"""Allowed domains that still fit into the text of a query."""
_TAG = re.compile(r"<[^>]{0,200}>")
_HEADER = re.compile(r"[\x20-\x7e]+")


class BadAnswer(Exception):
    """The engine's answer cannot be read."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for."""

    text: str
    domains: Domains = field(default_factory=Domains)
    location: Mapping[str, str] = field(default_factory=dict[str, str])
    """``user_location`` of the tool's configuration: city, region, country, timezone."""
    count: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An HTTP request to the engine, without its key."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One result."""

    title: str
    url: str
    text: str

    def block(self) -> dict[str, Any]:
        """The result as a wire block (spec/core 6.1)."""
        return {
            "type": "search_result",
            "source": self.url,
            "title": self.title,
            "content": [{"type": "text", "text": self.text}],
            "citations": {"enabled": False},
        }


class Engine(ABC):
    """A search engine at some address.

    Args:
        url: Its address, if it is not the engine's own.
        key: What it is called with; attached on the way out and nowhere else.
    """

    home: ClassVar[str] = ""
    """Where it is unless the operator says otherwise."""

    def __init__(self, url: str, key: str) -> None:
        self._root = (url or self.home).rstrip("/")
        self._key = key
        self.base = address.parse(self._root)
        self.chosen = bool(url)
        """An operator has said where it is; that may be a private address."""

    @property
    def credential(self) -> tuple[str, str] | None:
        """The header, in lower case, that carries the key; None if there is no key."""
        return self._credential(self._key) if self._key else None

    @abstractmethod
    def request(self, query: Query) -> Asked: ...

    def read(self, answer: str, query: Query) -> list[Found]:
        """The results that the query's domain lists let through, at most as many as asked for.

        Raises:
            BadAnswer: It is not an answer of this engine.
        """
        try:
            document = json.loads(answer)
        except (ValueError, RecursionError):
            raise BadAnswer("the search engine did not answer with JSON") from None
        entries = self._entries(document)
        if entries is None:
            raise BadAnswer("the search engine's answer holds no results")
        found = (result for entry in entries if (result := _result(entry, query.domains)))
        return [result for result, _ in zip(found, range(query.count), strict=False)]

    def _credential(self, key: str) -> tuple[str, str]:
        return "authorization", f"Bearer {key}"

    def _entries(self, document: Any) -> Iterable[Any] | None:
        match document:
            case {"results": list(results)}:
                return results
            case _:
                return None


class Brave(Engine):
    """The Brave Search API."""

    home = "https://api.search.brave.com"

    def request(self, query: Query) -> Asked:
        parameters: list[tuple[str, str]] = [
            ("q", query.text),
            ("count", str(min(2 * query.count, 20))),
            ("result_filter", "web"),
            ("text_decorations", "false"),
        ]
        country = query.location.get("country")
        if country:
            parameters.append(("country", country if country in _BRAVE_COUNTRIES else "ALL"))
        if goggle := _goggle(query.domains):
            parameters.append(("goggles", goggle))
        return Asked(
            method="GET",
            url=f"{self._root}/res/v1/web/search?{urlencode(parameters)}",
            headers={"Accept": "application/json", **_place_headers(query.location)},
        )

    def _credential(self, key: str) -> tuple[str, str]:
        return "x-subscription-token", key

    def _entries(self, document: Any) -> Iterable[Any] | None:
        match document:
            case {"web": {"results": list(results)}}:
                return [_with_excerpts(entry) for entry in results]
            case {"type": "search"}:
                return []
            case _:
                return None


class Tavily(Engine):
    """The Tavily Search API."""

    home = "https://api.tavily.com"

    def request(self, query: Query) -> Asked:
        wanted: dict[str, Any] = {"query": query.text, "max_results": min(2 * query.count, 20)}
        if query.domains.allowed:
            wanted["include_domains"] = _hosts(query.domains.allowed)
        whole = [entry for entry in query.domains.blocked if "/" not in entry]
        if whole:
            wanted["exclude_domains"] = whole
        country = _COUNTRIES.get(query.location.get("country", ""))
        if country:
            wanted["country"] = country
        return Asked(
            method="POST",
            url=f"{self._root}/search",
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            body=json.dumps(wanted),
        )


class Searxng(Engine):
    """A SearXNG instance, whose settings allow the format ``json``. It knows no location."""

    def request(self, query: Query) -> Asked:
        sites = _hosts(query.domains.allowed)
        text = query.text
        if 0 < len(sites) <= _MAX_SITES:
            # Engines behind it that do not know the operator find less; what they find is filtered.
            text += " " + " OR ".join(f"site:{site}" for site in sites)
        parameters = urlencode({"q": text, "format": "json"})
        url = f"{self._root}/search?{parameters}"
        return Asked(method="GET", url=url, headers={"Accept": "application/json"})


_ENGINES: Mapping[str, type[Engine]] = {"brave": Brave, "tavily": Tavily, "searxng": Searxng}


def engine(settings: Web) -> Engine | None:
    """The engine an operator has configured, if any."""
    kind = _ENGINES.get(settings.search)
    if kind is None:
        return None
    key = settings.search_key.get_secret_value() if settings.search_key is not None else ""
    return kind(settings.search_url, key)


def _result(entry: Any, domains: Domains) -> Found | None:
    match entry:
        case {"url": str(url), "title": str(title)}:
            place = _address(url)
            if place is None or not domains.permit(place.host, place.target):
                return None
            text = entry.get("content") or entry.get("description")
            name = _plain(title)[:_MAX_TITLE] or place.host
            excerpt = _plain(text)[:_MAX_TEXT] if isinstance(text, str) else ""
            return Found(name, str(place), excerpt or name)
        case _:
            return None


def _address(url: str) -> Address | None:
    try:
        return address.parse(url)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Without markup, and on one line."""
    return " ".join(html.unescape(_TAG.sub("", text[: 2 * _MAX_TEXT])).split())


def _with_excerpts(entry: Any) -> Any:
    match entry:
        case {"description": str(first), "extra_snippets": list(others)}:
            texts = [first, *(text for text in others[:5] if isinstance(text, str))]
            return {**entry, "description": " … ".join(texts)}
        case _:
            return entry


def _goggle(domains: Domains) -> str:
    """The lists as rules of a Goggle: discard what is blocked, or all but what is allowed."""
    if domains.allowed:
        return "\n".join(["$discard", *(f"$site={host}" for host in _hosts(domains.allowed))])
    return "\n".join(f"$discard,site={entry}" for entry in domains.blocked if "/" not in entry)


def _hosts(entries: Iterable[str]) -> list[str]:
    """The domains of a list, each once, without their paths."""
    return list(dict.fromkeys(entry.partition("/")[0].lower() for entry in entries))


def _place_headers(location: Mapping[str, str]) -> dict[str, str]:
    names = {
        "city": "X-Loc-City",
        "region": "X-Loc-State-Name",
        "country": "X-Loc-Country",
        "timezone": "X-Loc-Timezone",
    }
    return dict(_sendable((names[key], location.get(key)) for key in names))


def _sendable(pairs: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        if value and _HEADER.fullmatch(value):
            yield name, value


_BRAVE_COUNTRIES = frozenset(
    (
        *("AR", "AT", "AU", "BE", "BR", "CA", "CH", "CL", "CN", "DE", "DK", "ES", "FI", "FR"),
        *("GB", "HK", "ID", "IN", "IT", "JP", "KR", "MX", "MY", "NL", "NO", "NZ", "PH", "PL"),
        *("PT", "RU", "SA", "SE", "TR", "TW", "US", "ZA"),
    )
)
_COUNTRIES = {
    "AR": "argentina",
    "AT": "austria",
    "AU": "australia",
    "BE": "belgium",
    "BR": "brazil",
    "CA": "canada",
    "CH": "switzerland",
    "CL": "chile",
    "CN": "china",
    "CO": "colombia",
    "CZ": "czech republic",
    "DE": "germany",
    "DK": "denmark",
    "EG": "egypt",
    "ES": "spain",
    "FI": "finland",
    "FR": "france",
    "GB": "united kingdom",
    "GR": "greece",
    "HU": "hungary",
    "ID": "indonesia",
    "IE": "ireland",
    "IL": "israel",
    "IN": "india",
    "IT": "italy",
    "JP": "japan",
    "KE": "kenya",
    "KR": "south korea",
    "MX": "mexico",
    "MY": "malaysia",
    "NG": "nigeria",
    "NL": "netherlands",
    "NO": "norway",
    "NZ": "new zealand",
    "PE": "peru",
    "PH": "philippines",
    "PL": "poland",
    "PT": "portugal",
    "RO": "romania",
    "RU": "russia",
    "SA": "saudi arabia",
    "SE": "sweden",
    "SG": "singapore",
    "TH": "thailand",
    "TR": "turkey",
    "TW": "taiwan",
    "UA": "ukraine",
    "US": "united states",
    "VN": "vietnam",
    "ZA": "south africa",
}
"""Countries as Tavily names them."""
