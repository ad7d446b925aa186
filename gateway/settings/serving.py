"""The gateway as a server: its address, its database, the loop, its log."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.section import Bytes, Section


class Server(Section):
    """Where the API listens and how strict it is."""

    listen: str = "127.0.0.1:8400"
    """``HOST:PORT``; port 0 takes a free one and prints it."""
    strict_betas: bool = False
    """Answer 404 to requests without the endpoint's ``anthropic-beta`` value."""
    strict_bodies: bool = True
    """Refuse unknown request fields; when false they are ignored."""
    drain_seconds: Annotated[float, Field(ge=0)] = 20.0
    """After SIGTERM: how long running turns may finish before they are left to recovery."""
    ping_seconds: Annotated[float, Field(gt=0)] = 15.0
    """The longest silence on an event stream."""
    max_body: Bytes = 32 * 1024**2
    """The largest JSON request body."""
    trusted_proxies: list[str] = []
    """Addresses whose ``X-Forwarded-For`` is believed: policies and the audit trail see it."""


class StoreSettings(Section):
    """Where sessions live."""

    url: str = ""
    """``postgresql://...`` for PostgreSQL; empty means SQLite in the data directory."""
    url_file: Path | None = None
    """A file that holds `url`, when it has a password."""
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """SQLite: NORMAL survives a killed process, FULL also a power cut."""
    pool: Annotated[int, Field(ge=2, le=200)] = 16
    """PostgreSQL: connections of one gateway."""


class Loop(Section):
    """Bounds of a turn."""

    max_running: Annotated[int, Field(ge=1)] = 256
    """Sessions that may run at the same time in this process; others wait their turn."""
    max_tool_rounds: Annotated[int, Field(ge=1)] = 200
    """Model requests in one turn before ``tool_use_limit_reached_error``."""
    max_compactions: Annotated[int, Field(ge=1)] = 3
    """Compactions in a row before ``compaction_limit_reached_error``."""
    compact_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """The share of the model's input window at which the context is compacted."""
    parallel_calls: Annotated[int, Field(ge=1)] = 16
    """Tool calls of one session that run at the same time."""


class Log(Section):
    """What the gateway writes on standard error."""

    format: Literal["auto", "console", "json"] = "auto"
    """``auto`` is ``console`` on a terminal, else ``json``."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written."""
