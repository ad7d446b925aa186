"""What an operator can set, section by section; `gateway.config` reads it."""

from gateway.settings.content import Files, Web
from gateway.settings.models import Endpoint, Models, Price
from gateway.settings.policy import AuditSettings, PolicySettings
from gateway.settings.sandboxes import (
    DockerSettings,
    Egress,
    EnvironmentLimits,
    Packages,
    SandboxSettings,
)
from gateway.settings.section import Bytes, Section
from gateway.settings.serving import Log, Loop, Server, StoreSettings

__all__ = [
    "AuditSettings",
    "Bytes",
    "DockerSettings",
    "Egress",
    "Endpoint",
    "EnvironmentLimits",
    "Files",
    "Log",
    "Loop",
    "Models",
    "Packages",
    "PolicySettings",
    "Price",
    "SandboxSettings",
    "Section",
    "Server",
    "StoreSettings",
    "Web",
]
