"""Where audit records are delivered: a file, an HTTP endpoint, an OpenTelemetry collector.

A sink takes a whole batch or says why not; then it is offered again, so one that failed in the
middle may get records twice. Each record has an id of its own, ``metadata.uid``.
"""

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.to_thread

from gateway import __version__
from gateway.errors import ConfigError, GatewayError
from gateway.settings.policy import AuditSettings

if TYPE_CHECKING:
    import httpx2

SECONDS = 10.0
"""How long a sink may take for one batch."""
_MOST_ANSWER = 64 * 1024
_TOO_LARGE = 413


class Undelivered(GatewayError):
    """The sink did not take the batch.

    Args:
        reason: For people.
        too_much: A smaller batch might be taken.
    """

    def __init__(self, reason: str, *, too_much: bool = False) -> None:
        super().__init__(reason)
        self.too_much = too_much


class Sink(Protocol):
    """One place that takes every record at least once."""

    @property
    def name(self) -> str:
        """For people; holds no secret."""
        ...

    async def deliver(self, events: Sequence[dict[str, Any]]) -> None:
        """Hand over a batch of OCSF events.

        Raises:
            Undelivered: Some or all of it may have to be sent again.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def open_sinks(settings: AuditSettings) -> list[Sink]:
    """The sinks that the configuration names.

    Raises:
        ConfigError: An address is no HTTP URL.
    """
    sinks: list[Sink] = []
    if settings.file is not None:
        sinks.append(FileSink(settings.file))
    if settings.http_url:
        token = settings.http_token.get_secret_value() if settings.http_token else None
        sinks.append(HttpSink(_checked("http_url", settings.http_url), token))
    if settings.otlp_url:
        sinks.append(OtlpSink(_checked("otlp_url", settings.otlp_url)))
    return sinks


class FileSink:
    """Appends one line for each event, on disk before it says so.

    The file is opened anew for every batch, so it can be moved away at any time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    async def deliver(self, events: Sequence[dict[str, Any]]) -> None:
        lines = b"".join(_dump(event) + b"\n" for event in events)
        try:
            with anyio.fail_after(SECONDS):
                await anyio.to_thread.run_sync(
                    partial(_append, self._path, lines), abandon_on_cancel=True
                )
        except TimeoutError as error:
            raise Undelivered(f"not written in {SECONDS:g} seconds") from error
        except OSError as error:
            raise Undelivered(error.strerror or "cannot be written") from error

    async def aclose(self) -> None:
        """Nothing is open between two batches."""


class HttpSink:
    """Posts a JSON array of events.

    Args:
        url: Where to.
        token: Sent as a bearer token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.name = _without_secrets(url)
        self._post = _Post(url, {"authorization": f"Bearer {token}"} if token else {})

    async def deliver(self, events: Sequence[dict[str, Any]]) -> None:
        await self._post(b"[" + b",".join(map(_dump, events)) + b"]")

    async def aclose(self) -> None:
        await self._post.aclose()


class OtlpSink:
    """Sends each event as a log record, in OTLP over HTTP with JSON."""

    def __init__(self, url: str) -> None:
        self.name = _without_secrets(url)
        self._post = _Post(url, {})

    async def deliver(self, events: Sequence[dict[str, Any]]) -> None:
        rejected = _rejected(await self._post(_dump(_otlp(events))))
        if rejected:
            raise Undelivered(f"rejected {rejected} records")

    async def aclose(self) -> None:
        await self._post.aclose()


class _Post:
    """Posts to one address; its connection is kept for the next batch."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = {"content-type": "application/json", **headers}
        self._client: httpx2.AsyncClient | None = None

    async def __call__(self, body: bytes) -> bytes:
        """Post and give back the answer.

        Raises:
            Undelivered: There was no answer in time, or none that says yes.
        """
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=SECONDS, headers=self._headers)
        try:
            with anyio.fail_after(SECONDS):
                async with self._client.stream("POST", self._url, content=body) as answer:
                    said = await _read(answer)
                    if not answer.is_success:
                        too_much = answer.status_code == _TOO_LARGE
                        raise Undelivered(f"answered {answer.status_code}", too_much=too_much)
                    return said
        except TimeoutError as error:
            raise Undelivered(f"no answer in {SECONDS:g} seconds") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise Undelivered(f"{type(error).__name__}: {error}"[:200]) from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


async def _read(answer: "httpx2.Response") -> bytes:
    said = b""
    async for piece in answer.aiter_bytes():
        said += piece
        if len(said) > _MOST_ANSWER:
            raise Undelivered("the answer is too long")
    return said


def _rejected(answer: bytes) -> int:
    """How many records a collector did not take although it answered 200."""
    try:
        return int(json.loads(answer)["partialSuccess"]["rejectedLogRecords"])
    except (ValueError, LookupError, TypeError):
        return 0


def _append(path: Path, lines: bytes) -> None:
    """Append `lines` and wait until they are on disk; undo a part of them if that fails."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is not a file")
        if status.st_size and os.pread(file.fileno(), 1, status.st_size - 1) != b"\n":
            lines = b"\n" + lines  # somebody's last line is not whole: it shall not spoil ours
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(file.fileno(), left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), status.st_size)
            raise


def _otlp(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    service = {"service.name": "wharfkeep", "service.version": __version__}
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(service)},
                "scopeLogs": [
                    {
                        "scope": {"name": "wharfkeep.audit", "version": __version__},
                        "logRecords": [_log_record(event) for event in events],
                    }
                ],
            }
        ]
    }


def _log_record(event: dict[str, Any]) -> dict[str, Any]:
    # Severity numbers of OpenTelemetry: 9 is INFO, 13 is WARN.
    warns = event["severity_id"] > 1
    return {
        "timeUnixNano": str(event["time"] * 1_000_000),
        "observedTimeUnixNano": str(event["time"] * 1_000_000),
        "severityNumber": 13 if warns else 9,
        "severityText": "WARN" if warns else "INFO",
        "eventName": "wharfkeep.audit",
        "body": {"stringValue": _dump(event).decode()},
        "attributes": _attributes(
            {
                "audit.id": event["metadata"]["uid"],
                "audit.kind": event["metadata"]["event_code"],
                "audit.chain": event["attestation_list"][0]["chain_uid"],
                "audit.n": str(event["metadata"]["sequence"]),
            }
        ),
    }


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _checked(name: str, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"audit.{name}: must begin with http:// or https://")
    return url


def _without_secrets(url: str) -> str:
    """The address as it may be logged."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
