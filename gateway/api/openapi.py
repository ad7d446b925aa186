"""The API described for machines: OpenAPI 3.1, made from the routes and the validators themselves.

The bodies are the JSON Schemas of the very validators that read them, so the document promises
nothing that is not checked. Rules that tie several fields together are only in prose.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway import __version__
from gateway.api.router import Endpoint, Many, Raw
from gateway.wire import queries, requests, responses, schemas
from gateway.wire.forms import Form
from gateway.wire.requests import Request
from gateway.wire.responses import Response

Json: TypeAlias = dict[str, Any]

_REF = "#/components/schemas/{model}"
_REQUESTS = {id(request): f"request:{name}" for name, request in requests.ALL.items()}
_RESPONSES = {id(response): f"response:{name}" for name, response in responses.ALL.items()}
_TEXT: Json = {"type": "string", "minLength": 1, "maxLength": 255}
_PLAIN: dict[type, Json] = {
    queries.Flag: {"type": "boolean"},
    queries.Instant: {"type": "string", "format": "date-time"},
}
_TOKEN: Json = {"type": ["string", "null"]}
_FAILURES = {
    "400": "The request breaks a rule; the message names the field.",
    "401": "There is no valid API key.",
    "403": "The key is another workspace's.",
    "404": "There is no such thing in this workspace.",
    "409": "It conflicts with what is there.",
    "413": "The body is too large.",
}


def describe(endpoints: Iterable[Endpoint]) -> bytes:
    """The OpenAPI document of `endpoints`, as JSON."""
    bodies, definitions = schemas.json_schemas(_REF)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, bodies)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {"title": "Wharfkeep", "version": __version__},
            "security": [{"bearer": []}, {"key": []}],
            "paths": paths,
            "components": {
                "schemas": {**definitions, "Error": _error()},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                },
            },
        }
    )


def _operation(endpoint: Endpoint, bodies: dict[str, Json]) -> Json:
    operation: Json = {
        "operationId": _name(endpoint),
        "summary": _summary(endpoint),
        "description": endpoint.handle.__doc__ or "",
        "parameters": [*map(_path_parameter, endpoint.parameters), *_query(endpoint)],
        "responses": {"200": _success(endpoint, bodies), **_failures(endpoint)},
    }
    if isinstance(endpoint.reads, Request):
        operation["requestBody"] = _request_body(endpoint.reads, bodies)
    if isinstance(endpoint.reads, Form):
        operation["requestBody"] = _form(endpoint.reads)
    if endpoint.public:
        operation["security"] = []
    return operation


def _name(endpoint: Endpoint) -> str:
    pieces = [piece.strip("{}") for piece in endpoint.path.split("/")[2:]]
    return "_".join([endpoint.method.lower(), *pieces]).replace(".", "_") or "root"


def _summary(endpoint: Endpoint) -> str:
    """What the handler is called: ``agents: create``."""
    module: str = getattr(endpoint.handle, "__module__", "")
    name: str = getattr(endpoint.handle, "__name__", "")
    return f"{module.rpartition('.')[2]}: {name.rstrip('_').replace('_', ' ')}"


def _path_parameter(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[!-.0-~]{1,255}$"},
    }


def _query(endpoint: Endpoint) -> list[Json]:
    query = endpoint.reads
    if not isinstance(query, queries.Query):
        return []
    parameters = [_query_parameter(name, p) for name, p in query.parameters.items()]
    if query.decode is not None:
        parameters.append({"name": "page", "in": "query", "schema": {"type": "string"}})
    return parameters


def _query_parameter(name: str, parameter: queries.Parameter) -> Json:
    array = isinstance(parameter, queries.Several | queries.Ids)
    return {
        "name": f"{name}[]" if array else name,
        "in": "query",
        "schema": _parameter_schema(parameter),
    }


def _parameter_schema(parameter: queries.Parameter) -> Json:
    match parameter:
        case queries.Whole():
            return {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
        case queries.Choice():
            return {"type": "string", "enum": list(parameter.values)}
        case queries.Several():
            return _array({"type": "string", "enum": list(parameter.values)}, parameter.most)
        case queries.Ids():
            return _array(_TEXT, parameter.most)
        case _:
            return _PLAIN.get(type(parameter), _TEXT)


def _array(item: Json, most: int) -> Json:
    return {"type": "array", "items": item, "maxItems": most}


def _request_body(request: Request, bodies: dict[str, Json]) -> Json:
    schema = bodies[_REQUESTS[id(request)]]
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _form(form: Form) -> Json:
    texts = {name: _parameter_schema(parameter) for name, parameter in form.fields.items()}
    schema = {
        "type": "object",
        "properties": {form.file: {"type": "string", "format": "binary"}, **texts},
        "required": [form.file],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _success(endpoint: Endpoint, bodies: dict[str, Json]) -> Json:
    given = endpoint.gives
    if isinstance(given, Many) and given.form == "stream":
        return {"description": "Events.", "content": {"text/event-stream": {}}}
    if isinstance(given, Raw):
        return {"description": "The bytes.", "content": {"*/*": {}}}
    schema = _given(endpoint, bodies)
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _given(endpoint: Endpoint, bodies: dict[str, Json]) -> Json:
    match endpoint.gives:
        case Response():
            return bodies[_RESPONSES[id(endpoint.gives)]]
        case Many():
            return _many(endpoint.gives, bodies[_RESPONSES[id(endpoint.gives.of)]])
        case _:
            return {"type": "object"}


def _many(many: Many, item: Json) -> Json:
    fields: Json = {"data": {"type": "array", "items": item}}
    if many.form == "by_id":
        fields |= {"has_more": {"type": "boolean"}, "first_id": _TOKEN, "last_id": _TOKEN}
    if many.form in ("forward", "two_way"):
        fields["next_page"] = _TOKEN
    if many.form == "two_way":
        fields["prev_page"] = _TOKEN
    return {"type": "object", "properties": fields, "required": list(fields)}


def _failures(endpoint: Endpoint) -> dict[str, Json]:
    if endpoint.public and not endpoint.parameters:
        return {}
    content: Json = {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}}
    if endpoint.public:
        content["text/html"] = {}  # a page for people
    return {code: {"description": text, "content": content} for code, text in _FAILURES.items()}


def _error() -> Json:
    return {
        "type": "object",
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "message": {"type": "string"},
                    "details": {
                        "type": "object",
                        "properties": {"error_code": {"type": "string"}},
                        "required": ["error_code"],
                    },
                },
                "required": ["type", "message"],
            },
            "request_id": {"type": "string"},
        },
        "required": ["type", "error", "request_id"],
    }
