"""The models of `GET /v1/models`, in the form the SDK reads."""

from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaManagedAgentsModel, BetaModelInfo

from gateway.model.catalogue import Catalogue, claude, default_effort
from gateway.settings import Endpoint, Models


def catalogue(**named: dict[str, Any]) -> Catalogue:
    made = {
        name: Endpoint.model_validate({"base_url": "http://local.test", **fields})
        for name, fields in named.items()
    }
    return Catalogue(Models(endpoints=made))


def test_the_claude_ids_are_those_of_the_installed_sdk() -> None:
    literal = get_args(get_args(BetaManagedAgentsModel)[0])
    assert [entry["id"] for entry in catalogue().entries()] == list(literal)


def test_every_entry_is_what_the_sdk_expects() -> None:
    found = catalogue(local={"models": ["qwen3", "llama*"]})
    for entry in found.entries():
        BetaModelInfo.model_validate(entry)
        assert found.get(entry["id"]) == entry


def test_an_unknown_id_is_none() -> None:
    assert catalogue(rest={}).get("gpt-9") is None


def test_an_endpoints_ids_are_listed_and_its_prefixes_are_found() -> None:
    found = catalogue(local={"models": ["qwen3", "llama*"], "max_tokens": 4_096})
    assert [e["id"] for e in found.entries() if e["line"] is None] == ["qwen3"]
    llama = found.get("llama-9")
    assert llama is not None
    assert llama["max_tokens"] == 4_096
    assert llama["created_at"] == "1970-01-01T00:00:00Z"


def test_other_servers_claim_only_what_their_flags_say() -> None:
    found = catalogue(local={"models": ["qwen3"], "images": True, "documents": False})
    entry = found.get("qwen3")
    assert entry is not None
    able = entry["capabilities"]
    assert able["image_input"] == {"supported": True}
    claimed = [name for name, leaf in able.items() if leaf["supported"] and name != "image_input"]
    assert claimed == []
    assert able["thinking"]["types"]["disabled"] == {"supported": True}


def test_a_claude_model_behind_another_server_claims_what_that_server_takes() -> None:
    entry = catalogue(proxy={"models": ["claude-*"], "images": False}).get("claude-opus-5-5")
    assert entry is not None
    assert entry["line"] == "opus"
    assert entry["capabilities"]["image_input"] == {"supported": False}
    assert entry["capabilities"]["batch"] == {"supported": False}
    assert entry["capabilities"]["effort"]["xhigh"] == {"supported": True}


def test_a_retiring_model_says_when() -> None:
    entry = catalogue().get("claude-sonnet-4-5")
    assert entry is not None
    assert entry["lifecycle"] == "deprecated"
    assert entry["retires_at"] == "2026-11-30T00:00:00Z"


@pytest.mark.parametrize(
    ("model", "effort"),
    [("claude-opus-5-5", "medium"), ("claude-opus-5", "high"), ("qwen3", "high")],
)
def test_every_model_has_a_default_effort(model: str, effort: str) -> None:
    assert default_effort(model) == effort


def test_default_efforts_are_efforts_the_model_has() -> None:
    for entry in catalogue().entries():
        known = claude(entry["id"])
        assert known is not None
        assert not known.efforts or known.default_effort in known.efforts
