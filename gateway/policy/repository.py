"""Repositories of a session: where each is, and which requests get its token. Pure.

Git inside a sandbox speaks plain HTTP to the egress proxy for these, because the variables of
`settings` say so; `route` finds the repository that a request is about and turns it back into
https. Only what fetches and pushes is the repository's own and gets the token. Git LFS does not:
common servers repeat the token of an LFS request in their answer, which goes into the sandbox.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from sandbox.egress import address
from sandbox.egress.rules import HTTP, HTTPS, Request, Target

MAX_REPOSITORIES = 50
"""Of one session."""

_OWN = re.compile(
    r"(?:\.git)?/(?:info/refs\?service=git-(?:upload|receive)-pack|git-(?:upload|receive)-pack)"
)
_AUTHORIZATION = b"authorization"
_OF_GIT = frozenset(
    (
        *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"content-encoding"),
        *(b"content-type", b"git-protocol", b"pragma", b"user-agent"),
    )
)
"""Headers that git sends; another could make a server take the request for a different one."""
_PROXY = "remote: wharfkeep: "
_MAX_TEXT = 300

Kind: TypeAlias = Literal["authentication", "forbidden", "not_found", "checkout", "clone"]
"""What went wrong, as ``repository_..._error`` has it (spec/core 8.3)."""
_MEANINGS: tuple[tuple[str, Kind], ...] = (
    ("could not read username", "authentication"),
    ("could not read password", "authentication"),
    ("authentication failed", "authentication"),
    ("returned error: 401", "authentication"),
    ("returned error: 403", "forbidden"),
    ("returned error: 404", "not_found"),
    ("returned error: 410", "not_found"),
    ("not found", "not_found"),
)
"""What git says of a clone, in lower case."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that is attached to a session."""

    id: str
    """Of the session's resource."""
    server: Target
    path: str
    """``/OWNER/NAME``, as it stands in the URL."""

    @property
    def url(self) -> str:
        """Its URL, always spelled the same."""
        host = str(self.server).removesuffix(f":{HTTPS}")
        return f"https://{host}{self.path}"

    @property
    def door(self) -> Target:
        """Where git inside the sandbox asks for it."""
        return Target(self.server.host, HTTP)

    @property
    def prefix(self) -> str:
        """What it is called there; another port than the usual one becomes part of the path."""
        port = "" if self.server.port == HTTPS else f"/:{self.server.port}"
        return f"{port}{self.path}"

    @property
    def inside(self) -> str:
        """The URL that git inside the sandbox uses instead of its own."""
        return f"http://{str(self.door).removesuffix(f':{HTTP}')}{self.prefix}"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Route:
    """What becomes of a request for a host at which repositories are."""

    request: Request
    """The one to send, over https."""
    resources: tuple[str, ...]
    """Whose repository it fetches from or pushes to; empty if its URL only begins alike."""


def parse(id: str, url: str) -> Repository:  # noqa: A002 - the wire's word
    """The repository of a resource.

    Raises:
        ValueError: The URL cannot be a repository's; the message says why.
    """
    parts = urlsplit(url)
    path = "/" + parts.path.strip("/")
    if any(unquote(name) in ("", ".", "..") for name in path[1:].split("/")):
        raise ValueError("must not contain empty, '.' or '..' segments")
    if not re.fullmatch(r"[!-~]+", path) or path.startswith("/:"):
        raise ValueError("must have a path of printable ASCII characters")
    try:
        server = Target(*address.split(parts.netloc, HTTPS))
    except address.BadHost as error:
        raise ValueError(str(error)) from error
    if server.port == HTTP:
        raise ValueError(f"must not use port {HTTP}, which is not for https")
    return Repository(id, server, path)


def attached(resources: Iterable[Mapping[str, Any]]) -> tuple[Repository, ...]:
    """The repositories among a session's resources."""
    return tuple(
        parse(entry["id"], entry["url"])
        for entry in resources
        if entry["type"] == "github_repository"
    )


def settings(repositories: Sequence[Repository]) -> dict[str, str]:
    """The variables by which git inside finds the repositories where the proxy serves them."""
    if not repositories:
        return {}
    found = {"GIT_CONFIG_COUNT": str(len(repositories))}
    for number, each in enumerate(repositories):
        found[f"GIT_CONFIG_KEY_{number}"] = f"url.{each.inside}.insteadOf"
        found[f"GIT_CONFIG_VALUE_{number}"] = each.url
    return found


def opens(repositories: Iterable[Repository], target: Target) -> bool:
    """Whether requests to that host have to be looked at one by one, with `route`."""
    return any(each.door == target for each in repositories)


def route(repositories: Iterable[Repository], request: Request) -> Route | None:
    """Where git meant a request to go; None if it did not come from a repository's URL.

    Git replaces beginnings of URLs, so one that is attached as ``/o/r`` also moves ``/o/r2``: that
    goes back to https too, and is not the repository's own.
    """
    matching = [
        each
        for each in repositories
        if each.door == request.target and request.path.startswith(each.prefix)
    ]
    if request.scheme != "http" or not matching:
        return None
    found = max(matching, key=lambda each: len(each.prefix))
    rest = request.path.removeprefix(found.prefix)
    meant = replace(request, scheme="https", target=found.server, path=f"{found.path}{rest}")
    own = [each.id for each in matching if each.prefix == found.prefix and _OWN.fullmatch(rest)]
    return Route(meant, tuple(own))


def with_token(request: Request, token: str | None) -> Request:
    """The request as git would make it, with no credential but the repository's own."""
    headers = tuple(each for each in request.headers if each[0] in _OF_GIT)
    if token is not None:
        words = base64.b64encode(f"x-access-token:{token}".encode())
        headers = (*headers, (_AUTHORIZATION, b"Basic " + words))
    return replace(request, headers=headers)


def explain(repository: Repository, said: str) -> tuple[Kind, str]:
    """Why git could not clone: the kind of error, and the line of `said` that tells most.

    What a server says through git is marked and not believed, but for the egress proxy's own words.
    """
    lines = [line.strip() for line in said.replace("\r", "\n").splitlines() if line.strip()]
    refused = [line.removeprefix(_PROXY) for line in lines if line.startswith(_PROXY)]
    own = [line for line in lines if not line.startswith("remote:")]
    fatal = [line for line in own if line.startswith(("fatal:", "error:"))]
    text = (refused or fatal or own or ["git said nothing"])[-1]
    text = text.replace(repository.inside, repository.url)
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)[:_MAX_TEXT]
    if refused:
        return "clone", text
    for words, kind in _MEANINGS:
        if any(words in line.lower() for line in fatal):
            return kind, text
    return "clone", text
