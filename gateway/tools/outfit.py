"""What a sandbox is made of, and what it is given once it runs.

`Outfitter` answers two questions for `gateway.tools.connect`: how a sandbox has to be started, and
what its programs find in their environment when it is claimed. It starts nothing itself. What it
knows of a session is what was written when the session was made: an environment that changes
later changes nothing for it (spec/core 3.3).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread

from gateway.errors import ApiError
from gateway.policy import network, repository
from gateway.settings import SandboxSettings
from gateway.store.records import SessionRow
from gateway.store.store import Store
from gateway.tools import web
from gateway.tools.build import Builder
from gateway.tools.egress import Facts, Network
from gateway.tools.libraries import libraries
from gateway.tools.limits import limits_of
from gateway.tools.notice import Notice
from gateway.tools.outputs import Outputs
from gateway.tools.place import Place
from gateway.tools.reach import Reach
from gateway.tools.repository import Checkouts, Failure, notice
from gateway.tools.uploads import Uploads
from sandbox.contract import Sandbox, SandboxError, SandboxGone, SandboxSpec

log = structlog.get_logger()


class Outfitter:
    """Fits out the sandboxes of every session."""

    def __init__(
        self,
        store: Store,
        settings: SandboxSettings,
        *,
        network: Network,
        builder: Builder,
        uploads: Uploads,
        outputs: Outputs,
        checkouts: Checkouts,
        reach: Reach,
        interpreter: Path,
        place: Path,
    ) -> None:
        """`reach` lets web sandboxes out; their parsers run on `interpreter`, kept in `place`."""
        self._store = store
        self._settings = settings
        self._network = network
        self._builder = builder
        self._uploads = uploads
        self._outputs = outputs
        self._checkouts = checkouts
        self._reach = reach
        self._interpreter = interpreter
        self._place = place
        self._envs: dict[str, Mapping[str, str]] = {}
        """What the packages of a sandbox want in its environment, until it is furnished."""

    async def prepare(self, place: Place) -> SandboxSpec:
        """Say how the sandbox is started.

        Raises:
            SandboxError: Something it needs cannot be had; the message is for the model to read.
        """
        session = await self._session(place)
        if place.kind == "web":
            made = await to_thread.run_sync(libraries, self._interpreter, self._place)
            arguments, mounts = web.program(made)
            return self._spec(place, session, mounts=mounts, arguments=arguments)
        built = await self._builder.ready(session.body.get("packages") or {}, owner=place.owner)
        self._envs[place.owner] = built.env
        return self._spec(place, session, mounts=built.mounts, root=built.root)

    async def furnish(
        self, place: Place, sandbox: Sandbox
    ) -> tuple[Mapping[str, str], Sequence[Notice]]:
        """Give a sandbox that has just started its files, and what it may reach.

        Returns its environment, and what is missing in it.

        Raises:
            SandboxError: The session was deleted.
            OSError: Its files cannot be brought.
        """
        if place.kind == "web":
            await self._network.lend(place.owner, self._reach, sandbox)
            return self._network.env(), ()
        session = await self._session(place)
        problems = await self._uploads.fill(session.id, sandbox.uploads)
        await self._network.open(place.owner, _facts(session.body), sandbox)
        git = repository.settings(repository.attached(session.body["resources"]))
        env = {**self._network.env(), **git, **self._envs.pop(place.owner, {})}
        return env, [Notice("unknown_error", problem) for problem in problems]

    async def lacks(self, place: Place) -> Sequence[Mapping[str, Any]]:
        """The session's repositories that are not in its sandbox."""
        return await self._checkouts.missing(await self._session(place))

    async def equip(self, place: Place, sandbox: Sandbox) -> Sequence[Notice]:
        """Bring the session's repositories into a sandbox that lacks them; says which failed."""
        if place.kind == "web":
            return ()
        return await self._checkouts.make(await self._session(place), sandbox)

    def regret(self, lacking: Iterable[Mapping[str, Any]], error: Exception) -> list[Notice]:
        """There is no sandbox that repositories could be brought into."""
        return [
            notice(each, Failure("clone", f"{each['url']} was not cloned: {error}"))
            for each in lacking
        ]

    async def collect(self, place: Place, sandbox: Sandbox) -> None:
        """Make files of the sandbox's outputs."""
        try:
            session = await self._session(place)
            await self._outputs.collect(session.id, session.workspace, sandbox.layer)
        except (SandboxError, ApiError, OSError) as error:
            log.warning("outputs not taken", session=place.session, error=str(error))

    async def release(self, place: Place) -> None:
        """The sandbox is gone: take back what `furnish` gave."""
        self._builder.release(place.owner)
        self._envs.pop(place.owner, None)
        if place.lasting:
            await self._uploads.forget(place.session)
        await self._network.close(place.owner)

    def _spec(self, place: Place, session: SessionRow, **parts: Any) -> SandboxSpec:
        mounts = (*parts.pop("mounts"), *self._network.mounts())
        return SandboxSpec(
            id=place.owner,
            limits=limits_of(
                self._settings,
                environment=session.environment,
                name=session.body.get("environment_name", ""),
            ),
            require=frozenset(self._settings.require),
            mounts=mounts,
            **parts,
        )

    async def _session(self, place: Place) -> SessionRow:
        session = await self._store.sessions.find(id=place.session)
        if session is None:
            raise SandboxGone(f"the session {place.session} was deleted")
        return session


def _facts(body: Mapping[str, Any]) -> Facts:
    """What the session may reach."""
    servers = [network.target_of(server["url"]) for server in body["agent"]["mcp_servers"]]
    return Facts(
        networking=body["networking"],
        mcp_hosts=frozenset(filter(None, servers)),
        repositories=repository.attached(body["resources"]),
    )
