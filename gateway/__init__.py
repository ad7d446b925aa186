"""The gateway: the server that speaks the Claude Managed Agents API."""

__version__ = "0.1.0"
