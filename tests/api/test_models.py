"""The list of language models."""

from pathlib import Path

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.gateway import MODEL, serve
from tests.ledger.requirement import requirement


@requirement("models:list:shape", "models:list:limit")
def test_a_page_of_models_is_read_by_ids(raw: Client):
    page = raw.get("/v1/models?limit=3").json()
    assert set(page) == {"data", "has_more", "first_id", "last_id"}
    ids = [model["id"] for model in page["data"]]
    assert (len(ids), ids[0], ids[-1]) == (3, page["first_id"], page["last_id"])
    assert page["has_more"] is True
    for limit in (0, 1001, "x"):
        assert raw.get(f"/v1/models?limit={limit}").status_code == 400


@requirement("models:list:after")
def test_pages_follow_each_other_both_ways(client: Anthropic):
    every = [model.id for model in client.models.list(limit=1000)]
    assert [model.id for model in client.models.list(limit=4)] == every
    before = client.models.list(before_id=every[5], limit=2)
    assert [model.id for model in before.data] == every[3:5]
    assert before.has_more
    with pytest.raises(anthropic.BadRequestError, match="after_id"):
        client.models.list(after_id="nobody")
    with pytest.raises(anthropic.BadRequestError, match="combined"):
        client.models.list(after_id=every[0], before_id=every[1])


@requirement("models:list:lifecycle")
def test_models_are_listed_by_lifecycle(client: Anthropic):
    deprecated = list(client.models.list(lifecycle=["deprecated"]))
    assert {model.lifecycle for model in deprecated} == {"deprecated"}
    assert list(client.models.list(lifecycle=["retired"])) == []
    with pytest.raises(anthropic.BadRequestError, match="lifecycle"):
        client.models.list(lifecycle=["asleep"])  # pyright: ignore[reportArgumentType] - what is tested


@requirement("models:retrieve:known", "models:object:capabilities")
def test_a_model_is_retrieved_by_its_id(client: Anthropic):
    model = client.models.retrieve(MODEL)
    assert (model.id, model.type, model.lifecycle) == (MODEL, "model", "active")
    assert model.capabilities is not None
    assert model.capabilities.image_input.supported


@requirement("models:retrieve:unknown")
def test_an_unknown_model_is_not_found(client: Anthropic):
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("gpt-0")


def test_the_models_of_the_operators_endpoints_are_listed_too(tmp_path: Path):
    endpoint = {"base_url": "http://localhost:1", "models": ["our-model", "any-*"]}
    with serve(tmp_path, {"models": {"endpoints": {"ours": endpoint}}}) as running:
        tenant = running.tenant()
        with tenant.client() as client:
            assert "our-model" in [model.id for model in client.models.list(limit=1000)]
            assert client.models.retrieve("any-thing").display_name == "any-thing"
