"""Every bound that prose states holds at its edge."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.wire import limits, requests
from gateway.wire.requests import (
    ACCOUNT_CREATE,
    AGENT_CREATE,
    AGENT_UPDATE,
    API_KEY_CREATE,
    ENVIRONMENT_CREATE,
    EVENTS_SEND,
    RESOURCE_ADD,
    RESOURCE_UPDATE,
    SESSION_CREATE,
    USER_CREATE,
    WORKSPACE_CREATE,
    Request,
)
from tests.ledger.requirement import requirement
from tests.wire.bodies import (
    CUSTOM,
    MCP_TOOLSET,
    MESSAGE,
    OUTCOME,
    SERVER,
    TOOLSET,
    accepted,
    agent,
    config,
    environment,
    refused,
    session,
)


def _custom(**fields: Any) -> dict[str, Any]:
    return agent(tools=[{**CUSTOM, **fields}])


def _schema(**fields: Any) -> dict[str, Any]:
    return _custom(input_schema={"type": "object", **fields})


def _block(**fields: Any) -> dict[str, Any]:
    return {"events": [{"type": "user.message", "content": [fields]}]}


def _image(**fields: Any) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    return _block(type="image", source={**source, **fields})


def _outcome(**fields: Any) -> dict[str, Any]:
    return {"events": [{**OUTCOME, **fields}]}


def _budget(amount: str) -> dict[str, Any]:
    money = {"amount": amount, "currency": "USD"}
    return session(budget={"type": "limit", "max_list_cost": money})


def _repository(**fields: Any) -> dict[str, Any]:
    url = "https://github.com/octo/repo"
    return session(resources=[{"type": "github_repository", "url": url, **fields}])


def _limited(*hosts: str) -> dict[str, Any]:
    networking = {"type": "limited", "allowed_hosts": list(hosts)}
    return environment(config={"type": "cloud", "networking": networking})


def _packages(**managers: list[str]) -> dict[str, Any]:
    return environment(config={"type": "cloud", "packages": managers})


def _key(**fields: Any) -> dict[str, Any]:
    return {"name": "ci", **fields}


def _tags(tags: dict[str, str]) -> dict[str, Any]:
    return {"name": "support", "tags": tags}


def _many(count: int) -> dict[str, str]:
    return {f"tag {n}": "" for n in range(count)}


def _color(color: str) -> dict[str, Any]:
    return {"name": "support", "display_color": color}


def _geos(allowed: Any) -> dict[str, Any]:
    return {"name": "support", "data_residency": {"allowed_inference_geos": allowed}}


_EDGES: list[tuple[Request, dict[str, Any], dict[str, Any], str]] = [
    (AGENT_CREATE, agent(name="n" * 256), agent(name="n" * 257), "name: "),
    (AGENT_CREATE, agent(name="n"), agent(name=""), "name: "),
    (AGENT_UPDATE, {"name": "n"}, {"name": ""}, "name: "),
    (API_KEY_CREATE, {"name": "n" * 256}, {"name": "n" * 257}, "name: "),
    (API_KEY_CREATE, {"name": "ä b"}, {"name": "a\x9bb"}, "name: must not hold control"),
    (API_KEY_CREATE, _key(scopes=["*"]), _key(scopes=[]), "scopes: "),
    (API_KEY_CREATE, _key(scopes=["*"] * 64), _key(scopes=["*"] * 65), "scopes: "),
    (API_KEY_CREATE, _key(expires_in_seconds=1), _key(expires_in_seconds=0), "expires_in_s"),
    (WORKSPACE_CREATE, _tags(_many(64)), _tags(_many(65)), "tags: "),
    (WORKSPACE_CREATE, _tags({"k" * 128: "v" * 256}), _tags({"k" * 129: ""}), "tags."),
    (WORKSPACE_CREATE, _tags({"a": ""}), _tags({"ANTHROPIC": ""}), "tags.ANTHROPIC: "),
    (WORKSPACE_CREATE, _color("#00aaFF"), _color("#00aaF"), "display_color: must be a hex"),
    (WORKSPACE_CREATE, _geos(["global"]), _geos(["global"] * 17), "data_residency.allowed_inf"),
    (WORKSPACE_CREATE, _geos("unrestricted"), _geos("all"), "data_residency.allowed_inference"),
    (USER_CREATE, {"email": "a@b"}, {"email": "a@"}, "email: "),
    (USER_CREATE, {"email": f"{'a' * 249}@b.cd"}, {"email": f"{'a' * 250}@b.cd"}, "email: "),
    (ACCOUNT_CREATE, {"name": "a-1"}, {"name": "a_1"}, "name: must be lower-case"),
    (ACCOUNT_CREATE, {"name": "a" * 64}, {"name": "a" * 65}, "name: "),
    (AGENT_UPDATE, {"version": 1}, {"version": 0}, "version: "),
    (AGENT_UPDATE, {"version": 2**31 - 1}, {"version": 2**31}, "version: "),
    (AGENT_CREATE, agent(description="é" * 2048), agent(description="é" * 2049), "description: "),
    (AGENT_CREATE, agent(system="s" * 100_000), agent(system="s" * 100_001), "system: "),
    (AGENT_CREATE, agent(metadata={str(n): "" for n in range(16)}), agent(metadata={str(n): "" for n in range(17)}), "metadata: "),
    (AGENT_CREATE, agent(metadata={"k" * 64: "v" * 512}), agent(metadata={"k": "v" * 513}), "metadata.k: "),
    (AGENT_CREATE, agent(metadata={"k" * 64: ""}), agent(metadata={"": ""}), "metadata"),
    (AGENT_CREATE, agent(model={"id": "m", "inference_geo": "global"}), agent(model={"id": "m", "inference_geo": "eu"}), "model.inference_geo: must be 'us'"),
    (AGENT_CREATE, agent(mcp_servers=[{**SERVER, "name": "n" * 255}], tools=[{**MCP_TOOLSET, "mcp_server_name": "n" * 255}]), agent(mcp_servers=[{**SERVER, "name": ""}]), "mcp_servers.0.name: "),
    (AGENT_CREATE, agent(mcp_servers=[SERVER], tools=[MCP_TOOLSET]), agent(mcp_servers=[{**SERVER, "url": "ftp://x.org"}]), "mcp_servers.0.url: must be an absolute http"),
    (AGENT_CREATE, config(name="web_fetch", max_content_tokens=1), config(name="web_fetch", max_content_tokens=0), "tools.0.configs.0.max_content_tokens: "),
    (AGENT_CREATE, config(name="web_search", user_location={"type": "approximate", "country": "SE", "timezone": "Europe/Stockholm"}), config(name="web_search", user_location={"type": "approximate", "country": "se"}), "tools.0.configs.0.user_location.country: "),
    (AGENT_CREATE, _custom(name="a-Z_9" * 25), _custom(name="a b"), "tools.0.name: must be letters"),
    (AGENT_CREATE, _custom(name="x" * 128), _custom(name="x" * 129), "tools.0.name: "),
    (AGENT_CREATE, _custom(name="mcp_x"), _custom(name="mcp__x"), "tools.0.name: names that begin with 'mcp__'"),
    (AGENT_CREATE, _custom(name="ant_x"), _custom(name="ant__x"), "tools.0.name: names that begin with 'ant__'"),
    (AGENT_CREATE, _custom(name="Bash"), _custom(name="bash"), "tools.0.name: 'bash' is the name of a built-in"),
    (AGENT_CREATE, _custom(description="d"), _custom(description=""), "tools.0.description: "),
    (AGENT_CREATE, _schema(properties={"a.b-c_D9": {"anyOf": []}}), _schema(properties={"a b": {}}), "tools.0.input_schema: property 'a b'"),
    (AGENT_CREATE, _schema(properties={"x" * 64: {}}), _schema(properties={"x" * 65: {}}), "tools.0.input_schema: property"),
    (AGENT_CREATE, _schema(additionalProperties=True), _schema(anyOf=[{}]), "tools.0.input_schema: anyOf"),
    (AGENT_CREATE, _schema(description="$ref"), _schema(properties={"a": {"items": [{"$ref": "#"}]}}), "tools.0.input_schema: $ref"),
    (ENVIRONMENT_CREATE, environment(scope="organization"), environment(scope="account"), "scope: only 'organization'"),
    (ENVIRONMENT_CREATE, _limited("a.example.com", "*.example.com", "intranet"), _limited("a.org", "https://b.org"), "config.networking.allowed_hosts.1: "),
    (ENVIRONMENT_CREATE, _limited(), _limited("a.org:80"), "config.networking.allowed_hosts.0: "),
    (ENVIRONMENT_CREATE, _limited("*.a.org"), _limited("*"), "config.networking.allowed_hosts.0: "),
    (ENVIRONMENT_CREATE, _packages(pip=["numpy==2.0", "x>=1"]), _packages(pip=["-r/etc/passwd"]), "config.packages.pip.0: must not begin with '-'"),
    (SESSION_CREATE, session(agent={"type": "agent", "id": "a", "version": 1}), session(agent={"type": "agent", "id": "a", "version": 0}), "agent.version: "),
    (SESSION_CREATE, session(initial_events=[MESSAGE] * 50), session(initial_events=[MESSAGE] * 51), "initial_events: "),
    (SESSION_CREATE, _budget("2500"), _budget("25.00"), "budget.max_list_cost.amount: must be whole cents"),
    (SESSION_CREATE, _budget("1"), _budget("0"), "budget.max_list_cost.amount: "),
    (SESSION_CREATE, _budget("10"), _budget("010"), "budget.max_list_cost.amount: "),
    (SESSION_CREATE, _budget("10"), _budget("-1"), "budget.max_list_cost.amount: "),
    (SESSION_CREATE, _budget("10"), _budget("10\n"), "budget.max_list_cost.amount: "),
    (SESSION_CREATE, _repository(), _repository(url="http://github.com/o/r"), "resources.0.url: must be an absolute https"),
    (SESSION_CREATE, _repository(), _repository(url="https://github.com/o/r.git"), "resources.0.url: must not end in .git"),
    (SESSION_CREATE, _repository(), _repository(url="https://me:pw@github.com/o/r"), "resources.0.url: must not contain credentials"),
    (SESSION_CREATE, _repository(mount_path="/workspace/r"), _repository(mount_path="/etc/r"), "resources.0.mount_path: must be a path under"),
    (SESSION_CREATE, _repository(mount_path="/workspace/a/b"), _repository(mount_path="/workspace/../etc"), "resources.0.mount_path: "),
    (SESSION_CREATE, _repository(checkout={"type": "branch", "name": "feat/x"}), _repository(checkout={"type": "branch", "name": "--upload-pack=x"}), "resources.0.checkout.name: "),
    (SESSION_CREATE, _repository(checkout={"type": "commit", "sha": "0a" * 20}), _repository(checkout={"type": "commit", "sha": "main"}), "resources.0.checkout.sha: "),
    (RESOURCE_ADD, {"type": "file", "file_id": "f", "mount_path": "a/b.csv"}, {"type": "file", "file_id": "f", "mount_path": "a/../../b"}, "mount_path: "),
    (RESOURCE_UPDATE, {"authorization_token": "t"}, {"authorization_token": "t\r\nx: y"}, "authorization_token: "),
    (EVENTS_SEND, {"events": [MESSAGE] * 100}, {"events": [MESSAGE] * 101}, "events: "),
    (EVENTS_SEND, {"events": [MESSAGE]}, {"events": []}, "events: "),
    (EVENTS_SEND, _image(), _image(media_type="image/bmp"), "user.message at events[0]: content.0.source.media_type: must be image/png"),
    (EVENTS_SEND, _image(data="aGk="), _image(data="aGk"), "user.message at events[0]: content.0.source.data: is not valid base64"),
    (EVENTS_SEND, _image(), _image(data="aG k="), "user.message at events[0]: content.0.source.data: is not valid base64"),
    (EVENTS_SEND, _image(), _image(data=""), "user.message at events[0]: content.0.source.data: "),
    (EVENTS_SEND, _block(type="image", source={"type": "url", "url": "https://x.org/i.png"}), _block(type="image", source={"type": "url", "url": "file:///etc/passwd"}), "user.message at events[0]: content.0.source.url: "),
    (EVENTS_SEND, _block(type="document", source={"type": "text", "media_type": "text/plain", "data": "x"}), _block(type="document", source={"type": "base64", "media_type": "text/html", "data": "aGk="}), "user.message at events[0]: content.0.source.media_type: must be application/pdf"),
    (EVENTS_SEND, _outcome(max_iterations=20), _outcome(max_iterations=21), "user.define_outcome at events[0]: max_iterations: "),
    (EVENTS_SEND, _outcome(max_iterations=1), _outcome(max_iterations=0), "user.define_outcome at events[0]: max_iterations: "),
    (EVENTS_SEND, _outcome(max_iterations=None), _outcome(rubric=None), "user.define_outcome at events[0]: rubric: "),
    (EVENTS_SEND, _outcome(rubric={"type": "text", "content": "r" * 262_144}), _outcome(rubric={"type": "text", "content": "r" * 262_145}), "user.define_outcome at events[0]: rubric.content: "),
]  # fmt: skip


@requirement(
    "agents:create:lengths",
    "agents:create:metadata",
    "agents:model:geo",
    "agents:web:location",
    "agents:custom:name",
    "agents:custom:schema",
    "environments:create:scope",
    "environments:cloud:hosts",
    "sessions:create:agent-version",
    "sessions:budget:amount",
    "resources:create:paths",
    "events:send:count",
    "events:content:base64",
    "events:outcome:fields",
    "events:outcome:rubric",
)
@pytest.mark.parametrize(("request_", "within", "beyond", "told"), _EDGES)
def test_a_bound_holds_at_its_edge(
    request_: Request, within: dict[str, Any], beyond: dict[str, Any], told: str
):
    assert accepted(request_, within) == within
    assert refused(request_, beyond).startswith(told)


@requirement("agents:web:domains")
@pytest.mark.parametrize(
    "domain",
    [
        "https://example.com", "example.com:443", "user@example.com", "*.example.com", "exa mple.com",
        "example.com/docs", "example.com.", ".example.com", "-a.example.com", "bücher.example", "",
        "10.0.0.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "[::1]", "::1", "1.2.3.0xff",
        "com", "co.uk", "com.au", "ltd.uk", "or.jp", "xn--p1ai", "Gov.BR", "localhost", "a.localhost", "printer.local", "db.internal",
        "x.localdomain", "x.invalid", "a" * 64 + ".com", "a." * 128 + "com",
    ],
)  # fmt: skip
@pytest.mark.parametrize("tool", ["web_fetch", "web_search"])
@pytest.mark.parametrize("which", ["allowed_domains", "blocked_domains"])
def test_what_is_not_a_public_domain_is_refused_by_list_and_index(
    tool: str, which: str, domain: str
):
    fields: dict[str, Any] = {"name": tool, which: ["docs.example.com", domain]}
    if tool == "web_search" and domain == "example.com/docs":
        assert accepted(AGENT_CREATE, config(**fields)) == config(**fields)
    else:
        told = refused(AGENT_CREATE, config(**fields))
        assert told.startswith(f"tools.0.configs.0.{which}.1: ")


@requirement("agents:web:domains")
@pytest.mark.parametrize(
    ("domains", "told"),
    [
        ([], "at least 1 item"),
        ([f"d{n}.example.com" for n in range(65)], "at most 64 items"),
        (["a.org", "b.org", "A.org"], "entry 2 repeats entry 0"),
    ],
)
def test_a_domain_list_has_1_to_64_distinct_entries(domains: list[str], told: str):
    assert told in refused(AGENT_CREATE, config(name="web_fetch", allowed_domains=domains))


@pytest.mark.parametrize("path", ["a b", "a?b", "a#b", "a$b", "a,b", "a|b", "a^b", "a!b"])
def test_the_path_of_a_search_domain_is_plain(path: str):
    told = refused(AGENT_CREATE, config(name="web_search", blocked_domains=[f"x.org/{path}"]))
    assert "blocked_domains.0" in told


@pytest.mark.parametrize(
    "domains", [None, ["xn--bcher-kva.example", "co.com", "a_b.example.org", "github.io"]]
)
def test_no_domain_list_and_unusual_names_are_fine(domains: list[str] | None):
    body = config(name="web_fetch", allowed_domains=domains)
    assert accepted(AGENT_CREATE, body) == body


def test_every_limit_is_about_a_field_that_the_sdk_has():
    there = set(_fields())
    assert set(limits.LIMITS) - there == set()
    assert limits.NULLABLE - there == set()
    assert set(limits.IGNORED) - {path.partition(".")[0] for path in there} == set()


def test_every_list_in_a_body_is_bounded():
    unbounded = [n for n in _nodes() if n.get("type") == "list" and "max_length" not in n]
    assert unbounded == []


def test_the_built_in_toolset_needs_nothing_else():
    assert accepted(AGENT_CREATE, agent(tools=[TOOLSET])) == agent(tools=[TOOLSET])


def _fields() -> Iterator[str]:
    """All fields of all objects in all request bodies."""
    for node in _nodes():
        if node.get("type") == "typed-dict":
            name = limits.short_name(node["cls"])
            yield from (f"{name}.{field}" for field in node["fields"])


def _nodes() -> Iterator[dict[str, Any]]:
    todo: list[Any] = [request.tightened().schema for request in requests.ALL.values()]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, dict):
            yield node
            todo.extend(node.values())
