"""The gateway about itself."""

from anthropic import Anthropic
from httpx2 import Client

from tests.gateway import Tenant


def test_anyone_can_ask_whether_the_gateway_is_well(tenant: Tenant):
    with Client(base_url=tenant.url) as nobody:
        answer = nobody.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_organization_shows_that_a_key_is_good(client: Anthropic):
    organization = client.beta.organization.retrieve()
    assert organization.type == "organization"
    assert organization.id.startswith("org_01")
