"""The permission policies the wire itself knows: which tools are enabled, and who must agree.

Resolution order (spec/core 2.8): a tool's own entry in ``configs``, else the toolset's
``default_config``, else the default of the toolset's kind. Pure functions on stored toolsets, in
which every default is already spelled out; reading stays tolerant all the same.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

PolicyName: TypeAlias = Literal["always_allow", "always_ask", "auto"]

KIND_DEFAULTS: dict[str, PolicyName] = {
    "agent_toolset_20260401": "always_allow",
    "mcp_toolset": "always_ask",
}


@dataclass(frozen=True, slots=True)
class Permission:
    """What a toolset says of one tool."""

    enabled: bool
    policy: PolicyName


def resolve(toolset: dict[str, Any], name: str) -> Permission:
    """Find the permission of the tool called `name` in one toolset of an agent."""
    default = _merge(
        Permission(True, KIND_DEFAULTS[toolset["type"]]), toolset.get("default_config")
    )
    for config in toolset.get("configs") or ():
        if config["name"] == name:
            return _merge(default, config)
    return default


def _merge(base: Permission, config: dict[str, Any] | None) -> Permission:
    if not config:
        return base
    enabled = config.get("enabled")
    policy = config.get("permission_policy")
    return Permission(
        base.enabled if enabled is None else enabled,
        base.policy if policy is None else policy["type"],
    )
