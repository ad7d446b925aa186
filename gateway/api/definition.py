"""What an agent is, as it is stored: from what a client sends, all defaults spelled out.

The stored body is what clients see, but that a coordinator's own entry stays ``self`` until it is
shown. Who may be listed in `multiagent` is `gateway.api.multiagent`.
"""

from typing import Any, TypeAlias

from gateway.api import toolset
from gateway.errors import InvalidRequest
from gateway.model.catalogue import claude, default_effort

Json: TypeAlias = dict[str, Any]

_SERVICE_ACCOUNT = {"type": "service_account"}
_TEXTS = ("description", "system")


def define(params: Json) -> Json:
    """The stored body of a new agent, without `multiagent`.

    Raises:
        InvalidRequest: The model does not have the speed or the effort asked for.
    """
    return {
        "name": params["name"],
        "description": params.get("description") or None,
        "system": params.get("system") or None,
        "model": model(params["model"]),
        "tools": toolset.resolve(params.get("tools")),
        "mcp_servers": params.get("mcp_servers") or [],
        "skills": skills(params.get("skills")),
        "execution_identity": params.get("execution_identity") or _SERVICE_ACCOUNT,
        "metadata": params.get("metadata") or {},
    }


def revise(stored: Json, patch: Json) -> Json:
    """The stored body with an update applied, but for `multiagent` (spec/core 2.5).

    Omitted keeps; null and empty clear where that is allowed; lists are replaced, metadata merged.
    """
    body = dict(stored)
    for key in ("name", *_TEXTS, "mcp_servers", "execution_identity"):
        if key in patch:
            body[key] = patch[key]
    for key in _TEXTS:
        body[key] = body[key] or None
    body["mcp_servers"] = body["mcp_servers"] or []
    body["execution_identity"] = body["execution_identity"] or _SERVICE_ACCOUNT
    if "model" in patch:
        body["model"] = model(patch["model"], stored["model"])
    if "tools" in patch:
        body["tools"] = toolset.resolve(patch["tools"])
    if "skills" in patch:
        body["skills"] = skills(patch["skills"])
    if patch.get("metadata") is not None:
        body["metadata"] = patched(stored["metadata"], patch["metadata"])
    return body


def patched(stored: dict[str, str], patch: dict[str, str | None]) -> dict[str, str]:
    """Metadata with a patch applied: null deletes a key (spec/resources C-4)."""
    merged = {**stored, **patch}
    return {key: value for key, value in merged.items() if value is not None}


def model(given: str | Json, stored: Json | None = None) -> Json:
    """A model choice in object form, effort and speed resolved (spec/core 2.4).

    Without an effort, the one in `stored` is kept if the model id is the same.

    Raises:
        InvalidRequest: The model does not have that speed or effort.
    """
    asked: Json = {"id": given} if isinstance(given, str) else given
    effort = asked.get("effort")
    if effort is None:
        same = stored is not None and stored["id"] == asked["id"]
        effort = stored["effort"] if stored is not None and same else default_effort(asked["id"])
    choice = {
        "id": asked["id"],
        "effort": {"type": effort} if isinstance(effort, str) else effort,
        "inference_geo": asked.get("inference_geo"),
        "speed": asked.get("speed") or "standard",
    }
    _check_model(choice)
    return choice


def skills(given: list[Json] | None) -> list[Json]:
    """Skills with their versions: the latest unless said otherwise (spec/core 2.11)."""
    return [{**skill, "version": skill.get("version") or "latest"} for skill in given or ()]


def _check_model(choice: Json) -> None:
    known = claude(choice["id"])
    if choice["speed"] == "fast" and not (known and known.fast):
        raise InvalidRequest(f"model.speed: {choice['id']} has no fast mode")
    level = choice["effort"]["type"]
    if known and level not in (*known.efforts, known.default_effort):
        allowed = ", ".join(known.efforts) or known.default_effort
        raise InvalidRequest(f"model.effort: {choice['id']} takes {allowed}, not {level}")
