"""A container engine on this host, asked through the ``docker`` SDK.

The SDK blocks, so every question runs in a thread and has a deadline; the SDK is imported by the
first one, because that takes as long as starting a container. An engine that is gone, hangs, or is
not one at all is `Unavailable`, and is simply asked again the next time.
"""

import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from sandbox.contract import Unavailable

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_SCHEME = "unix://"
_THREADS = 16
_GRACE_SECONDS = 1.0
"""Between the SDK's own deadline and the one that does not wait for it."""


class Refused(Unavailable):
    """The engine answered, and will not; the message has its words."""


class Missing(Refused):
    """What was asked about is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an engine says of itself."""

    version: str
    cgroup: str
    """The version of control groups, ``1`` or ``2``."""
    memory: bool
    processes: bool
    cpu: bool
    """Whether it can limit these."""
    runtimes: frozenset[str]
    default_runtime: str
    security: frozenset[str]
    """The names of its security options, such as ``seccomp``, ``userns``, ``rootless``."""


@dataclass(frozen=True, slots=True)
class State:
    """How a container is."""

    running: bool
    status: int
    """What its first process ended with."""
    error: str
    """Why it could not even be started, in the engine's words."""


class Engine:
    """One engine; safe to ask several things at once."""

    def __init__(self, address: str = "", *, seconds: float = 30.0) -> None:
        """Ask nothing yet.

        `address` is ``unix:///PATH``; empty means ``DOCKER_HOST``, or where engines usually listen.
        `seconds` is the deadline of every question but the import of images.
        """
        self.address = address or os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS
        self._seconds = seconds
        self._client: APIClient | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    async def about(self) -> About:
        """Ask what it is and can do."""
        return _about(await self._ask("info"))

    async def start(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container and start it; after an error it may be there, and is to be removed.

        A cancellation waits for the engine, which would otherwise finish behind our back.
        """
        with anyio.CancelScope(shield=True):
            await self._ask("create_container_from_config", dict(config), name)
            await self._ask("start", name)
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def state(self, name: str) -> State:
        """Ask how a container is."""
        return _state(await self._ask("inspect_container", name))

    async def containers(self, label: str) -> Sequence[str]:
        """The name of every container with a label, ``NAME=VALUE``, whether it runs or not."""
        listed = await self._ask("containers", all=True, filters={"label": label})
        return [each["Names"][0].removeprefix("/") for each in listed]

    async def remove(self, name: str) -> None:
        """Kill and remove a container, if it is there and nobody else is about to."""
        try:
            await self._ask("remove_container", name, force=True)
        except Missing:
            return
        except Refused as reason:
            if "already in progress" not in str(reason):
                raise

    async def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        try:
            await self._ask("inspect_image", name)
        except Missing:
            return False
        return True

    async def import_image(
        self, name: str, source: IO[bytes], *, labels: Mapping[str, str], seconds: float
    ) -> None:
        """Make an image of a tar archive, which is read to its end."""
        changes = [f"LABEL {key}={json.dumps(value)}" for key, value in labels.items()]
        repository, _, tag = name.partition(":")
        await self._ask(
            "import_image_from_stream", source, repository, tag, changes=changes, seconds=seconds
        )

    async def images(self, label: str) -> Mapping[str, str]:
        """The value of a label, for the id of each image that has it."""
        listed = await self._ask("images", filters={"label": label})
        return {each["Id"]: (each.get("Labels") or {}).get(label, "") for each in listed}

    async def remove_image(self, name: str) -> None:
        """Remove an image that no container uses."""
        await self._ask("remove_image", name)

    async def aclose(self) -> None:
        """Let go of the connections; the next question makes new ones."""
        self._forget()

    async def _ask(
        self, method: str, *words: object, seconds: float | None = None, **more: object
    ) -> Any:
        """Call a method of the SDK's client in a thread."""
        if self._limiter is None:
            # Not the threads of everything else, which an engine that hangs would use up.
            self._limiter = anyio.CapacityLimiter(_THREADS)
        try:
            with anyio.fail_after((seconds or self._seconds) + _GRACE_SECONDS):
                return await anyio.to_thread.run_sync(
                    partial(self._try, method, *words, seconds=seconds, **more),
                    abandon_on_cancel=True,
                    limiter=self._limiter,
                )
        except TimeoutError as error:
            self._forget()
            raise Unavailable(self._complaint("does not answer")) from error

    def _try(
        self, method: str, *words: object, seconds: float | None = None, **more: object
    ) -> Any:
        """Call it now, in this thread, and tell every failure as ours."""
        import docker.errors

        try:
            self._knock()
            client = self._open() if seconds is None else self._connect(seconds)
            return getattr(client, method)(*words, **more)
        except docker.errors.NotFound as error:
            raise Missing(_words(error)) from error
        except docker.errors.APIError as error:
            raise Refused(_words(error)) from error
        except (docker.errors.DockerException, OSError, ValueError, LookupError) as error:
            # What the SDK raises beside its own are errors of `requests`, which are OSErrors, and
            # whatever an answer leads to that is not an engine's.
            self._forget()
            raise Unavailable(self._complaint(_reason(error))) from error

    def _knock(self) -> None:
        """Fail at once and cleanly where nobody listens; the SDK would leave its socket open."""
        if not self.address.startswith(_SCHEME):
            raise Unavailable(
                f"the container engine at {self.address} is not on this host, where its containers "
                "must see the gateway's files: use one that listens on a Unix socket (unix:///PATH)"
            )
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(self._seconds)
            knocking.connect(self.address.removeprefix(_SCHEME))

    def _open(self) -> "APIClient":
        client = self._client
        if client is None:
            client = self._client = self._connect(self._seconds)
        return client

    def _connect(self, seconds: float) -> "APIClient":
        from docker import APIClient

        return APIClient(base_url=self.address, version="auto", timeout=math.ceil(seconds))

    def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _complaint(self, what: str) -> str:
        return (
            f"the container engine at {self.address} {what}; start it, or let the gateway's user "
            "use its socket (usermod -aG docker USER), or set DOCKER_HOST"
        )


def _about(info: Mapping[str, Any]) -> About:
    return About(
        version=str(info["ServerVersion"]),
        cgroup=str(info.get("CgroupVersion") or "1"),
        memory=bool(info.get("MemoryLimit")),
        processes=bool(info.get("PidsLimit")),
        cpu=bool(info.get("CpuCfsQuota")) and bool(info.get("CpuCfsPeriod")),
        runtimes=frozenset(info.get("Runtimes") or ()),
        default_runtime=str(info.get("DefaultRuntime") or ""),
        security=frozenset(
            part.partition("=")[2]
            for option in info.get("SecurityOptions") or ()
            for part in str(option).split(",")
            if part.startswith("name=")
        ),
    )


def _state(found: Mapping[str, Any]) -> State:
    state = found["State"]
    return State(bool(state["Running"]), int(state["ExitCode"]), str(state.get("Error") or ""))


def _words(error: Any) -> str:
    """What the engine said, in one line."""
    return " ".join(str(error.explanation or error).split())[:500]


def _reason(error: Exception) -> str:
    """Why it cannot be asked, in a few words."""
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return "is not running"
    if isinstance(error, PermissionError):
        return "may not be used by this user"
    return f"cannot be asked ({' '.join(str(error).split())[:200]})"
