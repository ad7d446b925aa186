"""Keys and users to test with, made with the endpoints that the SDK does not have."""

from typing import Any

from anthropic import Anthropic
from httpx2 import Client

from tests.gateway import Tenant

Json = dict[str, Any]


def make_key(admin: Anthropic, **fields: Any) -> Json:
    """A key; its own text is under ``key``."""
    body = {"name": "ci", **fields}
    return admin.post("/wharfkeep/v1/api_keys", body=body, cast_to=dict[str, Any])


def make_user(admin: Anthropic, email: str, **fields: Any) -> Json:
    body = {"email": email, **fields}
    return admin.post("/wharfkeep/v1/users", body=body, cast_to=dict[str, Any])


def status(tenant: Tenant, key: str) -> int:
    """What the key is answered by the tenant's gateway."""
    with Client(base_url=tenant.url, headers={"x-api-key": key}) as http:
        return http.get("/v1/agents").status_code
