"""What agents may do, who judges and approves, and what is recorded of it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from gateway.settings.section import Section


class PolicySettings(Section):
    """Enterprise policy: it can only narrow what an agent's own toolsets allow."""

    directory: Path | None = None
    """Where the policies are; without one the toolsets alone decide."""
    reload_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often the directory is looked at for changes."""
    approval_seconds: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """How long a call that policies ask about waits for an approval; then it is denied."""
    approval_url: str = ""
    """Where requests for approval are posted, with a signed link to answer; empty: nowhere."""
    public_url: str = ""
    """How others reach this gateway, for those links."""
    judge_model: str = ""
    """The model that judges calls under ``auto``; without one each such call asks."""
    judge_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long it may think; after that the call asks."""


class AuditSettings(Section):
    """The audit trail, and where it is sent."""

    key_file: Path | None = None
    """The key of the chains. Without one it is made, in the data directory; on PostgreSQL it is in
    the database too, for the other gateways, and who may write there can then forge records."""
    redact: list[str] = []
    """Names of arguments that are never written down, besides those that look secret."""
    file: Path | None = None
    """A file that records are appended to, one JSON object a line."""
    http_url: str = ""
    """Where records are posted, as a JSON array."""
    http_token: SecretStr | None = None
    """Sent with them as a bearer token."""
    otlp_url: str = ""
    """An OpenTelemetry collector's ``/v1/logs``, which records are sent to as log records."""
    require_delivery: bool = False
    """While records cannot be delivered, refuse every call that writes."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How often the heads of all chains are signed."""
