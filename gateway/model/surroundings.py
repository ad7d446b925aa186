"""What an agent with a sandbox is told of it: where files are, and what can be reached.

Everything is read from the session itself, so the text changes only when the session does: the
same beginning of a request is what a prompt cache recognises.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_MAX_LISTED = 50


def describe(session: Mapping[str, Any]) -> str:
    """The text about the session's environment; `session` is the body of its row."""
    lines = [
        "Your tools run in a Linux environment that belongs to this session.",
        "The working directory is /workspace; files stay there between turns.",
    ]
    if session["environment_type"] != "self_hosted":
        lines.append("Put the files the user should get into /mnt/session/outputs.")
        lines += _mounted(session["resources"])
        lines += _skills(session["resources"], session.get("repository_skills") or {})
        lines.append(_network(session["networking"]))
        lines += _packages(session.get("packages") or {})
    text = "\n".join(lines)
    return f"<environment>\n{text}\n</environment>"


def _mounted(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    files = [entry["mount_path"] for entry in resources if entry["type"] == "file"]
    checkouts = [entry for entry in resources if entry["type"] == "github_repository"]
    lines: list[str] = []
    if files:
        more = len(files) - _MAX_LISTED
        listed = [*files[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
        lines.append(f"Files from the user, read-only: {', '.join(listed)}")
    lines += [f"The repository {each['url']} is in {each['mount_path']}." for each in checkouts]
    return lines


def _skills(
    resources: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[str]:
    """Skills of repositories: each with its own path, also where two have one name (K-35)."""
    told = [
        f"- {skill['name']} ({skill['path']})"
        + (f": {skill['description']}" if skill["description"] else "")
        for entry in resources
        for skill in found.get(entry.get("id", ""), ())
    ]
    if not told:
        return []
    return [
        "The repositories bring skills: read a skill's file before you do what it is about.",
        *told,
    ]


def _network(networking: Mapping[str, Any]) -> str:
    if networking["type"] == "unrestricted":
        return (
            "The internet can be reached through the HTTP proxy that the environment variables"
            " name; programs that ignore them cannot connect."
        )
    reachable = list(networking["allowed_hosts"])
    if networking["allow_mcp_servers"]:
        reachable.append("the MCP servers of this agent")
    if networking["allow_package_managers"]:
        reachable.append("package registries")
    if not reachable:
        return "There is no network: nothing outside this environment can be reached."
    return (
        "Of the network only these can be reached, through the HTTP proxy that the environment"
        f" variables name: {', '.join(reachable)}"
    )


def _packages(packages: Mapping[str, Any]) -> list[str]:
    named = [
        f"{manager}: {', '.join(wanted)}"
        for manager, wanted in sorted(packages.items())
        if isinstance(wanted, list) and wanted
    ]
    return [f"Installed for you: {'; '.join(named)}"] if named else []
