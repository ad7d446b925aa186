"""The list of language models (spec/resources 7.3)."""

from typing import Any

from gateway.api.context import ApiCall, Gateway, Reply
from gateway.errors import InvalidRequest, NotFound
from gateway.wire import queries, responses

_LISTED_BY_DEFAULT = ("active", "deprecated")


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/models``; retired ones only on request."""
    query = queries.MODEL_LIST.parse(call.query)
    wanted = query["lifecycle"] or _LISTED_BY_DEFAULT
    models = [model for model in gateway.catalogue.entries() if model["lifecycle"] in wanted]
    shown, more = _window(models, query["after_id"], query["before_id"], query["limit"])
    return Reply(responses.model_page(shown, has_more=more))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/models/{model_id}``."""
    model = gateway.catalogue.get(call.path["model_id"])
    if model is None:
        raise NotFound(f"model {call.path['model_id']} not found")
    return Reply(responses.MODEL.render(model))


def _window(
    models: list[dict[str, Any]], after: str | None, before: str | None, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """The page after one model or before another, and whether there is more that way."""
    if after is not None and before is not None:
        raise InvalidRequest("after_id and before_id cannot be combined")
    if before is not None:
        earlier = models[: _index(models, before, "before_id")]
        return earlier[-limit:], len(earlier) > limit
    later = models[_index(models, after, "after_id") + 1 :] if after is not None else models
    return later[:limit], len(later) > limit


def _index(models: list[dict[str, Any]], model: str, name: str) -> int:
    for index, entry in enumerate(models):
        if entry["id"] == model:
            return index
    raise InvalidRequest(f"{name}: {model!r} is not in this list")
