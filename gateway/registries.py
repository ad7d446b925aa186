"""The package registries that this machine uses, as its own package managers tell it.

No registry is named here. Each manager that is installed is asked which one it would use, which
covers its configuration files, its variables and its built-in default; then the registry is asked
for one small page, because packages often come from another host than the index. A manager that
cannot be asked is logged and left out, or keeps what was known of it.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit, urlunsplit

import anyio
import anyio.to_thread
import structlog

from gateway.policy.network import target_of
from sandbox.egress.rules import Target

log = structlog.get_logger()

ASK_SECONDS = 30.0
FETCH_SECONDS = 15.0
_MAX_PAGE = 4 * 1024**2
_MAX_OUTPUT = 1024**2
_NOWHERE = "http://127.0.0.1:1"
"""A proxy that is not there: a program that has to say what it could not reach names its host."""

RELEARN_SECONDS = 3600.0
_KEEP_SECONDS = 30 * 86_400.0
_SETTING = re.compile(r"PIP_|UV_|NPM_|GO|CARGO|GEM|BUNDLE|.*_PROXY$|HOME$|PATH$", re.IGNORECASE)
"""Variables that package managers read."""

_HREF = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)""", re.IGNORECASE)
_PIP_INDEX = re.compile(r"Index\s+\(default\s+(\S+?)\)")
_PIP_EXTRA = re.compile(r"extra-index-url='([^']*)'")
_APT_URL = re.compile(r"'(https?://[^']+)'")
_CARGO_URL = re.compile(r"`(https?://[^`\s]+?)(?:config\.json)?`")


class Unknown(Exception):
    """A package manager does not tell which registry it uses."""


class Unreachable(Unknown):
    """A registry does not answer; it may later."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What one package manager uses."""

    urls: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that make the same manager use the same registry elsewhere; without secrets."""


class Tools:
    """This machine's programs and its way to the registries."""

    offline = False
    """The programs are not this machine's own, and reach nothing."""

    async def run(self, *command: str, **env: str) -> str:
        """What a program prints, on both its outputs.

        Raises:
            Unknown: It is not installed, or does not answer in time.
        """
        program = shutil.which(command[0])
        if program is None:
            raise Unknown(f"{command[0]} is not installed")
        try:
            with anyio.fail_after(ASK_SECONDS):
                done = await anyio.run_process(
                    [program, *command[1:]], check=False, cwd="/", env={**os.environ, **env}
                )
        except (TimeoutError, OSError) as error:
            raise Unknown(f"{command[0]} does not answer") from error
        return (done.stdout + done.stderr)[:_MAX_OUTPUT].decode(errors="replace")

    async def fetch(self, url: str) -> tuple[str, str]:
        """The first bytes of a page as text, and the address it came from in the end.

        Raises:
            Unreachable: Nothing answers; that there is no such page is an answer.
        """
        try:
            with anyio.fail_after(2 * FETCH_SECONDS):
                return await anyio.to_thread.run_sync(_fetch, url, abandon_on_cancel=True)
        except (TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{urlsplit(url).hostname} does not answer: {error}") from error


Ask: TypeAlias = Callable[[Tools], Awaitable[Registry]]


class Registries:
    """The registries of all package managers, as they were last learned."""

    def __init__(
        self,
        tools: Tools | None = None,
        managers: Mapping[str, Ask] | None = None,
        *,
        notes: Path | None = None,
    ) -> None:
        """Know nothing yet. `notes` is a file to remember in what was learned."""
        self._tools = tools or Tools()
        self._notes = notes
        self._managers = MANAGERS if managers is None else managers
        self._known: dict[str, Registry] = {}
        self._learned = anyio.Event()
        self._targets: frozenset[Target] = frozenset()
        self._silent = False

    async def learn(self) -> bool:
        """Ask every package manager, all at the same time; False if a registry did not answer.

        Takes seconds.
        """
        self._silent = False
        async with anyio.create_task_group() as tasks:
            for name, ask in self._managers.items():
                tasks.start_soon(self._learn, name, ask)
        self._targets = _targets(self._known)
        self._learned.set()
        if self._notes is not None and not self._silent:
            await anyio.to_thread.run_sync(_write, self._notes, {"of": _mark(), **self.facts()})
        return not self._silent

    def recall(self) -> bool:
        """Take what was noted down under the same settings; whether that is recent."""
        if self._notes is None:
            return False
        try:
            age = time.time() - self._notes.stat().st_mtime
            facts = json.loads(self._notes.read_text(encoding="utf-8"))
            if facts.pop("of") != _mark() or age > _KEEP_SECONDS:
                return False
            self.adopt(facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False  # there is none, or it was made by another version
        self._learned.set()
        return age < RELEARN_SECONDS

    async def targets(self) -> frozenset[Target]:
        """Where packages come from; waits until it has been learned once."""
        with anyio.move_on_after(ASK_SECONDS):
            await self._learned.wait()
        return self._targets

    def facts(self) -> dict[str, Any]:
        """What is known, as JSON for `adopt`."""
        return {
            name: {"urls": sorted(registry.urls), "environment": dict(registry.environment)}
            for name, registry in self._known.items()
        }

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Take over what was learned elsewhere of managers that this machine does not have."""
        for name, each in facts.items():
            registry = Registry(frozenset(each["urls"]), dict(each["environment"]))
            self._known.setdefault(name, registry)
        self._targets = _targets(self._known)

    @property
    def known(self) -> frozenset[str]:
        """Those whose registries are known."""
        return frozenset(self._known)

    def environment(self) -> dict[str, str]:
        """The variables of all managers."""
        return {
            name: value
            for registry in self._known.values()
            for name, value in registry.environment.items()
        }

    async def _learn(self, name: str, ask: Ask) -> None:
        try:
            self._known[name] = await ask(self._tools)
        except Unreachable as error:
            self._silent = True
            log.warning("package registry does not answer", manager=name, reason=str(error))
        except Unknown as error:
            log.debug("package registry unknown", manager=name, reason=str(error))


def notes() -> Path:
    """Where a user's gateways remember what they learned."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "wharfkeep" / "registries.json"


def _write(place: Path, facts: Mapping[str, Any]) -> None:
    draft = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(json.dumps(facts), encoding="utf-8")
        draft.replace(place)
    except OSError as error:
        log.debug("package registries not noted down", reason=str(error))


def _mark() -> str:
    """What the answers depend on that changes from start to start; files are read anew in time."""
    settings = sorted(item for item in os.environ.items() if _SETTING.match(item[0]))
    return hashlib.blake2b(repr(settings).encode(), digest_size=16).hexdigest()


def _targets(known: Mapping[str, Registry]) -> frozenset[Target]:
    urls = [url for registry in known.values() for url in registry.urls]
    return frozenset(filter(None, map(target_of, urls)))


async def ask_pip(tools: Tools) -> Registry:
    """Its help names the index it would use, its configuration the further ones."""
    help_text, config = "", ""
    for python in ("/usr/bin/python3", sys.executable):
        help_text = await _try(tools, python, "-m", "pip", "install", "--help", COLUMNS="1000")
        if _PIP_INDEX.search(help_text):
            config = await tools.run(python, "-m", "pip", "config", "list")
            break
    index = _PIP_INDEX.search(help_text)
    if index is None:
        raise Unknown("pip is not installed")
    extra = " ".join(_PIP_EXTRA.findall(config)).replace("\\n", " ").split()
    indices = [_public(url) for url in (index[1], *filter(_is_web, extra))]
    urls = set(indices)
    for each in indices:
        urls |= await _linked(tools, f"{each.rstrip('/')}/pip/")
    environment = {"PIP_INDEX_URL": indices[0]}
    if indices[1:]:
        environment["PIP_EXTRA_INDEX_URL"] = " ".join(indices[1:])
    return Registry(frozenset(urls), environment)


async def ask_npm(tools: Tools) -> Registry:
    """Registries are settings; a package's own page says where its archive is."""
    text = await tools.run("npm", "config", "list", "--json")
    settings = _json(text[text.find("{") : text.rfind("}") + 1])
    found = {name: url for name, url in settings.items() if name.endswith("registry")}
    urls = {_public(url) for url in found.values() if isinstance(url, str) and _is_web(url)}
    main = found.get("registry")
    if not isinstance(main, str) or not _is_web(main):
        raise Unknown("npm names no registry")
    page = await _page(tools, f"{_public(main).rstrip('/')}/npm/latest")
    tarball = page.get("dist", {}).get("tarball")
    return Registry(
        frozenset({*urls, *([tarball] if isinstance(tarball, str) else [])}),
        {"npm_config_registry": _public(main)},
    )


async def ask_apt(tools: Tools) -> Registry:
    """It lists what an update would download, whatever kind of file says so."""
    text = await tools.run("apt-get", "update", "--print-uris")
    return Registry(frozenset(_APT_URL.findall(text)))


async def ask_cargo(tools: Tools) -> Registry:
    """Kept from its index, it says where that would be; the index says where the rest is.

    An index in a git repository says nothing more.
    """
    said = await tools.run(
        *("cargo", "install", "--root", "/nonexistent", "nothing"),
        CARGO_HTTP_PROXY=_NOWHERE,
        CARGO_NET_RETRY="0",
    )
    own = [] if tools.offline else await anyio.to_thread.run_sync(_cargo_registries)
    urls = {*_CARGO_URL.findall(said), *own}
    if not urls:
        raise Unknown("cargo names no index")
    for index in [url for url in urls if url.endswith("/")]:
        page = await _page(tools, f"{index}config.json")
        urls |= {page[key] for key in ("dl", "api") if isinstance(page.get(key), str)}
    return Registry(frozenset(urls))


async def ask_gem(tools: Tools) -> Registry:
    """It lists its sources; of a source it may ask another host, by a rule of its own."""
    text = await tools.run("gem", "sources", "--list")
    urls = {_public(line) for line in text.split() if _is_web(line)}
    return Registry(frozenset({*urls, *(url.replace("://", "://index.", 1) for url in urls)}))


async def ask_go(tools: Tools) -> Registry:
    """Its environment names proxies, and the database of checksums by its host alone."""
    names = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE")
    settings = _json(await tools.run("go", "env", "-json", *names))
    parts = re.split(r"([,|])", str(settings.get("GOPROXY", "")))
    settings["GOPROXY"] = "".join(_public(part) if _is_web(part) else part for part in parts)
    name, _, url = str(settings.get("GOSUMDB", "")).partition(" ")
    sums = url or f"https://{name.partition('+')[0]}"
    urls = {part for part in re.split("[,|]", settings["GOPROXY"]) if _is_web(part)}
    return Registry(
        frozenset(urls if name in ("", "off") else {*urls, sums}),
        {name: str(settings[name]) for name in names if settings.get(name)},
    )


MANAGERS: Mapping[str, Ask] = {
    "apt": ask_apt,
    "cargo": ask_cargo,
    "gem": ask_gem,
    "go": ask_go,
    "npm": ask_npm,
    "pip": ask_pip,
}


async def _try(tools: Tools, *command: str, **env: str) -> str:
    try:
        return await tools.run(*command, **env)
    except Unknown:
        return ""


async def _page(tools: Tools, url: str) -> dict[str, Any]:
    """A page of JSON; empty if it is something else."""
    return _json((await tools.fetch(url))[0])


async def _linked(tools: Tools, url: str) -> set[str]:
    """The addresses that a page of links leads to, and its own."""
    page, base = await tools.fetch(url)
    links = {urljoin(base, unescape(link)) for link in _HREF.findall(page)}
    return {base, *(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, links))}


def _fetch(url: str) -> tuple[str, str]:
    accept = {"Accept": "text/html, application/json, */*"}
    request = urllib.request.Request(url, headers=accept)  # noqa: S310 - always http or https
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as answer:  # noqa: S310 - same
            return answer.read(_MAX_PAGE).decode(errors="replace"), answer.url
    except urllib.error.HTTPError as error:
        with error:
            return "", error.url


def _cargo_home() -> Path:
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def _cargo_registries() -> list[str]:
    """Registries besides the main one, which are in its configuration file only."""
    try:
        config = tomllib.loads((_cargo_home() / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = [str(each.get("index", "")) for each in config.get("registries", {}).values()]
    return [url.removeprefix("sparse+") for url in found if url.startswith("sparse+http")]


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _public(url: str) -> str:
    """An address without the name and password that may be in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
