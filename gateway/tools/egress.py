"""The way out of sandboxes: joins the egress proxy, environments' networking and registries.

`Network` is what the proxy asks. It knows, for each session with a sandbox, the environment's
networking and the hosts the session was given, and logs what was decided. It also says what a
program inside needs to find the proxy and to trust what the gateway's machine trusts.
"""

import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
import structlog

from gateway.errors import StartError
from gateway.policy import network, repository
from gateway.policy.repository import Repository
from gateway.registries import RELEARN_SECONDS, Registries
from gateway.settings import Egress as EgressSettings
from gateway.tools.usage import Use
from sandbox.contract import RELAY_PORT, Mount, Sandbox
from sandbox.egress.address import BadHost, normalise
from sandbox.egress.dial import LookUp, look_up
from sandbox.egress.proxy import Egress
from sandbox.egress.rules import Bounds, Decision, Denied, EgressRules, Request, Target, Verdict

log = structlog.get_logger()

Tokens: TypeAlias = Callable[[str], Awaitable[str | None]]

REGISTRIES = "package-registries"
"""The word in ``allowed_private_hosts`` for the hosts of `gateway.registries`."""
INSIDE = "/opt/wharfkeep/network"
"""Where the files are that the variables name."""

_PROXY = f"http://127.0.0.1:{RELAY_PORT}"
_LOCAL = "localhost,127.0.0.1,::1"
_RETRY_SECONDS = 60.0
_FETCH = Path(__file__).with_name("fetch.cjs")
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_MAX_LINES = 1000
"""Different decisions of one session that are logged; more of them are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a session when it wants to go somewhere."""

    networking: Mapping[str, Any]
    """The environment's, resolved."""
    mcp_hosts: frozenset[Target] = frozenset()
    """Of the agent's MCP servers."""
    repositories: tuple[Repository, ...] = ()
    """Of the session: they may be reached in any case, and nothing else of their hosts."""


class Network:
    """The egress proxy of all sessions, and its rules. Enter `running` before use."""

    def __init__(
        self,
        settings: EgressSettings,
        registries: Registries,
        *,
        directory: Path,
        look_up: LookUp = look_up,
        token: Tokens | None = None,
        use: Use | None = None,
    ) -> None:
        """`directory` will hold the files that sandboxes are shown; users of them can reach it.

        `token` tells the token of a repository by the id of its resource, as it is now; `use` is
        told before one is attached.

        Raises:
            StartError: A host in the settings is none.
        """
        self._settings = settings
        self._registries = registries
        self._directory = directory
        self._look_up = look_up
        self._token = token
        self._use = use
        self._private = [_pattern(each) for each in settings.allowed_private_hosts]
        self._facts: dict[str, Facts] = {}
        self._others: dict[str, EgressRules] = {}
        self._diary = Diary()
        self._wanted = anyio.Event()
        """Somebody may install packages."""
        self._egress: Egress | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve until the exit.

        Raises:
            StartError: The certificates cannot be read.
        """
        await anyio.to_thread.run_sync(self._write_files)
        async with anyio.create_task_group() as tasks:
            self._egress = Egress(
                tasks,
                self,
                _bounds(self._settings),
                report=self._diary.note,
                look_up=self._look_up,
                tls=ssl.create_default_context(cafile=str(self._directory / "ca.pem")),
            )
            tasks.start_soon(self._keep_learning)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._egress.aclose()
                tasks.cancel_scope.cancel()

    async def open(self, owner: str, facts: Facts, sandbox: Sandbox) -> Path:
        """Give a sandbox its way out, before it is claimed; returns the proxy's socket.

        The first time on a machine it waits until it is known what `env` has to say of registries.
        """
        assert self._egress is not None, "enter `running` first"
        self.admit(owner, facts)
        if network.reaches_registries(facts.networking):
            await self._registries.targets()
        return await self._egress.open(owner, sandbox.sockets, sandbox.uid)

    def admit(self, owner: str, facts: Facts) -> None:
        """From now on decide for this owner."""
        self._facts[owner] = facts
        if network.reaches_registries(facts.networking):
            self._wanted.set()

    async def lend(self, owner: str, rules: EgressRules, sandbox: Sandbox) -> Path:
        """As `open`, for a sandbox that no environment's networking governs."""
        assert self._egress is not None, "enter `running` first"
        self._others[owner] = rules
        return await self._egress.open(owner, sandbox.sockets, sandbox.uid)

    async def update(self, owner: str, facts: Facts) -> None:
        """From now on decide by `facts`; if they allow less, what is open is broken off."""
        before = self._facts.get(owner)
        if before is None or self._egress is None:
            return
        self._facts[owner] = facts
        if tightens(before, facts):
            await self._egress.revoke(owner)

    async def close(self, owner: str) -> None:
        """The sandbox is gone. Idempotent."""
        self._facts.pop(owner, None)
        self._others.pop(owner, None)
        self._diary.forget(owner)
        if self._egress is not None:
            await self._egress.close(owner)

    def env(self) -> dict[str, str]:
        """The variables by which programs inside find the proxy, and what they need with it."""
        certificates = f"{INSIDE}/ca.pem"
        names = ("http_proxy", "https_proxy", "all_proxy")
        java = f"-D{{0}}.proxyHost=127.0.0.1 -D{{0}}.proxyPort={RELAY_PORT}"
        return {
            **dict.fromkeys((*names, *map(str.upper, names)), _PROXY),
            **dict.fromkeys(("no_proxy", "NO_PROXY"), _LOCAL),
            **dict.fromkeys(_CERTIFICATE_VARIABLES, certificates),
            "NODE_USE_ENV_PROXY": "1",
            "NODE_OPTIONS": f"--require={INSIDE}/fetch.cjs",
            "JAVA_TOOL_OPTIONS": f"{java.format('http')} {java.format('https')}",
            **self._registries.environment(),
        }

    def mounts(self) -> tuple[Mount, ...]:
        """The files that the variables name."""
        return (Mount(self._directory, INSIDE),)

    async def decide(self, owner: str, target: Target) -> Verdict:
        """As `EgressRules`."""
        if (own := self._others.get(owner)) is not None:
            return await own.decide(owner, target)
        facts = self._facts.get(owner)
        if facts is None:
            return Verdict(False, "network:no_session")
        verdict = await self._judge(facts, target)
        if not verdict.allowed and repository.opens(facts.repositories, target):
            return replace(verdict, allowed=True, rule="network:repository")  # see `rewrite`
        return verdict

    async def _judge(self, facts: Facts, target: Target) -> Verdict:
        """What the environment's networking says."""
        needed = REGISTRIES in self._private or facts.networking.get("allow_package_managers")
        registries = await self._registries.targets() if needed else frozenset[Target]()
        verdict = network.decide(
            facts.networking,
            target,
            mcp_hosts=facts.mcp_hosts,
            registry_hosts=registries,
        )
        return replace(verdict, private=self._is_exempt(target, registries))

    async def rewrite(self, owner: str, request: Request) -> Request:
        """As `EgressRules`: here the tokens of repositories are attached."""
        if (own := self._others.get(owner)) is not None:
            return await own.rewrite(owner, request)
        facts = self._facts.get(owner)
        if facts is None or not repository.opens(facts.repositories, request.target):
            return request
        route = repository.route(facts.repositories, request)
        if route is not None and route.resources:
            token = await self._find_token(owner, route.resources, route.request.server)
            return repository.with_token(route.request, token)
        meant = route.request if route is not None else request
        verdict = await self._judge(facts, meant.server)
        if not verdict.allowed:
            raise Denied(verdict.rule)
        return meant

    async def _find_token(self, owner: str, resources: Sequence[str], target: Target) -> str | None:
        if self._token is None:
            return None
        for resource in resources:
            if (token := await self._token(resource)) is not None:
                if self._use is not None:
                    await self._use(owner, resource, target)
                return token
        return None

    def _is_exempt(self, target: Target, registries: frozenset[Target]) -> bool:
        if any(network.matches(each, target.host) for each in self._private):
            return True
        return REGISTRIES in self._private and any(each.host == target.host for each in registries)

    async def _keep_learning(self) -> None:
        """Learn when a sandbox first needs it: asking takes seconds of processor time."""
        recent = await anyio.to_thread.run_sync(self._registries.recall)
        await self._wanted.wait()
        if recent:
            await anyio.sleep(RELEARN_SECONDS)
        while True:
            complete = await self._registries.learn()
            await anyio.sleep(RELEARN_SECONDS if complete else _RETRY_SECONDS)

    def _write_files(self) -> None:
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._directory.chmod(0o755)
        files = {
            "ca.pem": _certificates(self._settings.ca_file),
            "fetch.cjs": _FETCH.read_bytes(),
        }
        for name, data in files.items():
            place = self._directory / name
            place.write_bytes(data)
            place.chmod(0o644)


class Diary:
    """Logs decisions: each once, and again when it was made ten, a hundred, ... times."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Decision, int]] = {}

    def note(self, decision: Decision) -> None:
        """Log a decision, unless it is like many before."""
        counts = self._counts.setdefault(decision.owner, {})
        if decision not in counts and len(counts) >= _MAX_LINES:
            decision = replace(decision, host="", port=0)  # one of many
        times = counts[decision] = counts.get(decision, 0) + 1
        if str(times).strip("0") == "1":
            log.info(
                "egress allowed" if decision.allowed else "egress denied",
                session=decision.owner,
                kind=decision.kind,
                host=decision.host,
                port=decision.port,
                rule=decision.rule,
                times=times,
            )

    def forget(self, owner: str) -> None:
        """Nothing more will come from this owner."""
        self._counts.pop(owner, None)


def tightens(before: Facts, after: Facts) -> bool:
    """Whether something that was allowed may not be any more."""
    if not before.mcp_hosts <= after.mcp_hosts:
        return True
    if not set(before.repositories) <= set(after.repositories):
        return True
    old, new = before.networking, after.networking
    if new["type"] == "unrestricted":
        return False
    return (
        old["type"] == "unrestricted"
        or not set(old["allowed_hosts"]) <= set(new["allowed_hosts"])
        or old["allow_mcp_servers"] > new["allow_mcp_servers"]
        or old["allow_package_managers"] > new["allow_package_managers"]
    )


_CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
)


def _pattern(text: str) -> str:
    """A host, ``*.HOST`` or the word for registries, as it is compared."""
    if text == REGISTRIES:
        return text
    wildcard = "*." if text.startswith("*.") else ""
    try:
        return wildcard + normalise(text.removeprefix(wildcard))
    except BadHost as error:
        raise StartError(f"egress.allowed_private_hosts: {text!r} is no host: {error}") from error


def _bounds(settings: EgressSettings) -> Bounds:
    return Bounds(
        connections=settings.connections,
        connect_seconds=settings.connect_seconds,
        handshake_seconds=settings.handshake_seconds,
        idle_seconds=settings.idle_seconds,
        seconds=settings.max_seconds,
        bytes=settings.max_bytes,
    )


def _certificates(given: Path | None) -> bytes:
    """What this machine trusts, for programs that bring lists of their own."""
    if given is not None:
        try:
            return given.read_bytes()
        except OSError as error:
            raise StartError(f"egress.ca_file: cannot read {given}: {error.strerror}") from error
    own = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile)
    for place in (*filter(None, own), *_CERTIFICATES):
        if Path(place).is_file():
            return Path(place).read_bytes()
    raise StartError("no certificates found: install ca-certificates, or set egress.ca_file")
