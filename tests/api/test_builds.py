"""Builds of packages as a client sees them. Every build fails here: there is nothing to build in."""

import json
import subprocess
import sys
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError
from httpx2 import Client

from tests.api.building import make_environment
from tests.gateway import SECONDS, Tenant
from tests.house.tree import ROOT
from tests.ledger.requirement import requirement


def cloud(**packages: list[str]) -> Any:
    return {"type": "cloud", "packages": {"type": "packages", **packages}}


def build(raw: Client, environment: str, **query: int) -> dict[str, Any]:
    answer = raw.get(f"/wharfkeep/v1/environments/{environment}/build", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def command(tenant: Tenant, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "environments", "build", *arguments],
        env={"PYTHONPATH": str(ROOT), "WHARFKEEP_URL": tenant.url, "WHARFKEEP_API_KEY": tenant.key},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_an_environment_without_packages_is_ready(client: Anthropic, raw: Client):
    environment = make_environment(client)
    assert build(raw, environment.id) == {
        "type": "environment_build",
        "environment_id": environment.id,
        "status": "ready",
        "reason": None,
        "queued_at": None,
        "started_at": None,
        "ended_at": None,
        "lines": [],
    }


def test_a_build_begins_with_its_environment_and_says_how_it_ended(
    client: Anthropic, tenant: Tenant, raw: Client
):
    environment = make_environment(client, config=cloud(pip=["one-that-begins"]))
    ended = command(tenant, environment.id)
    assert (ended.returncode, ended.stdout) == (1, "pip: one-that-begins\n")
    assert "cannot install packages: no sandbox for build-" in ended.stderr
    seen = build(raw, environment.id)
    assert seen["status"] == "failed"
    assert seen["queued_at"] <= seen["started_at"] <= seen["ended_at"]


def test_an_update_builds_what_is_wanted_now(client: Anthropic, tenant: Tenant, raw: Client):
    environment = make_environment(client)
    client.beta.environments.update(environment.id, config=cloud(pip=["one-that-comes-later"]))
    ended = command(tenant, environment.id, "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1])["status"] == "failed"


def test_a_failed_build_can_be_begun_again(client: Anthropic, tenant: Tenant, raw: Client):
    environment = make_environment(client, config=cloud(pip=["one-to-try-again"]))
    command(tenant, environment.id)
    first = build(raw, environment.id)
    command(tenant, environment.id, "--retry")
    second = build(raw, environment.id)
    assert second["status"] == "failed"
    assert second["queued_at"] > first["ended_at"]


def test_the_log_is_read_line_by_line(client: Anthropic, tenant: Tenant, raw: Client):
    environment = make_environment(client, config=cloud(pip=["one", "two==2"]))
    assert command(tenant, environment.id).stdout == "pip: one, two==2\n"
    (line,) = build(raw, environment.id)["lines"]
    assert (line["seq"], line["text"]) == (1, "pip: one, two==2")
    assert build(raw, environment.id, after=1)["lines"] == []


def test_a_stranger_sees_and_starts_nothing(client: Anthropic, stranger: Anthropic, raw: Client):
    environment = make_environment(stranger, config=cloud(pip=["one-of-a-stranger"]))
    path = f"/wharfkeep/v1/environments/{environment.id}/build"
    assert raw.get(path).status_code == raw.post(path).status_code == 404


def test_an_archived_environment_builds_nothing(client: Anthropic, raw: Client):
    environment = make_environment(client)
    client.beta.environments.archive(environment.id)
    answer = raw.post(f"/wharfkeep/v1/environments/{environment.id}/build")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["error_code"] == "environment_archived"


@requirement("environments:cloud:package-names")
@pytest.mark.parametrize("name", ["--index", "../x", "a b", "http://a/x.whl"])
def test_a_name_that_is_none_is_refused(client: Anthropic, name: str):
    with pytest.raises(BadRequestError, match=r"config\.packages\.pip\.1: "):
        make_environment(client, config=cloud(pip=["fine", name]))
    environment = make_environment(client)
    with pytest.raises(BadRequestError, match=r"config\.packages\.pip\.1: "):
        client.beta.environments.update(environment.id, config=cloud(pip=["fine", name]))


def test_a_wrong_key_is_one_line_on_the_command_line(tenant: Tenant):
    ended = command(tenant, "env_1", "--key", "wk-wrong")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
