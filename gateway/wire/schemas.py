"""The JSON Schemas of everything on the wire, for the OpenAPI document and the surface lock."""

from typing import Any, TypeAlias, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema

from gateway.wire import requests, responses

Json: TypeAlias = dict[str, Any]


def json_schemas(ref_template: str = "#/$defs/{model}") -> tuple[dict[str, Json], Json]:
    """Describe every body of `requests.ALL` and `responses.ALL`.

    Returns:
        The schema of each, under ``request:<name>`` or ``response:<name>``, and the definitions
        they share, which they refer to in the form of `ref_template`.
    """
    inputs: list[tuple[str, JsonSchemaMode, CoreSchema]] = []
    for name, request in requests.ALL.items():
        schema = cast("CoreSchema", request.tightened().schema)
        inputs.append((f"request:{name}", "validation", schema))
    for name, response in responses.ALL.items():
        schema = TypeAdapter(response.annotation).core_schema
        inputs.append((f"response:{name}", "serialization", schema))
    generator = GenerateJsonSchema(ref_template=ref_template)
    found, definitions = generator.generate_definitions(inputs)
    shown = {key: schema for (key, _), schema in found.items()}
    return shown, cast("Json", definitions)
