"""Packages of environments, from the registries that this machine uses."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anthropic import AsyncAnthropic

from gateway.progress import follow
from gateway.tools.recipe import find_system
from sandbox.image import probe_roots
from tests.e2e import script, serving
from tests.e2e.conversation import MODEL, TOOLSET, Conversation, of, results
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import KEY, Server
from tests.ledger.requirement import requirement

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUILD_SECONDS = 540.0
OWN = frozenset(find_system().programs)
"""What this machine has below /usr; other managers come with a root."""

_UNREACHABLE = ("resolve", "connect", "Connect", "timed out", "CONNECT tunnel", "ECONN", "dial tcp")

_USES = {
    "pip": ("tinydb", 'python3 -c "import tinydb; print(tinydb.__name__)"', "tinydb"),
    "npm": ("left-pad@1.3.0", "node -p \"require('left-pad')('x', 3)\"", "  x"),
    "apt": ("jq", "echo '[7]' | jq '.[0]'", "7"),
    "cargo": ("minigrep@0.1.0", "command -v minigrep", "/opt/packages/bin/minigrep"),
    "go": ("rsc.io/hello@v1.0.0", "command -v hello", "/opt/packages/bin/hello"),
}
"""A small package of each manager, how it is used, and what that prints."""


def uses(*managers: str) -> Any:
    return turn(
        f"use {' '.join(managers)}",
        step(None, *(bash(_USES[manager][1]) for manager in managers)),
        "Done.",
    )


_HOSTED = tuple(name for name in ("npm", "pip") if name == "pip" or "npm" in OWN)
_ROOTED = ("apt", "cargo", "go")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        turns = (
            uses(*_HOSTED),
            uses(*_ROOTED),
            turn("use a tool", step(None, bash("true")), "Done."),
        )
        with Server(
            folder / "data",
            WHARFKEEP_MODELS__SCRIPT=script.write(folder, *turns),
            WHARFKEEP_EGRESS__ALLOWED_PRIVATE_HOSTS='["package-registries"]',
            WHARFKEEP_PACKAGES__ALWAYS="[]",
        ) as running:
            yield running


async def environment(client: AsyncAnthropic, name: str, packages: dict[str, Any]) -> str:
    config: Any = {
        "type": "cloud",
        "networking": {"type": "limited", "allow_package_managers": True},
        "packages": {"type": "packages", **packages},
    }
    return (await client.beta.environments.create(name=name, config=config)).id


async def built(server: Server, environment: str) -> dict[str, Any]:
    """The build of an environment, once it is over."""

    def wait() -> dict[str, Any]:
        return list(follow(server.url, KEY, environment, retry=False))[-1]

    with anyio.fail_after(BUILD_SECONDS):
        return await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)


async def conversation(client: AsyncAnthropic, environment: str) -> Conversation:
    tools: Any = [TOOLSET]
    agent = await client.beta.agents.create(name="Tester", model=MODEL, tools=tools)
    made = await client.beta.sessions.create(agent=agent.id, environment_id=environment)
    return Conversation(client, made.id)


@requirement("environments:cloud:packages-order")
@pytest.mark.parametrize("managers", [_HOSTED, _ROOTED], ids=["on this system", "in a root"])
async def test_packages_are_there_when_a_session_starts(
    server: Server, client: AsyncAnthropic, managers: tuple[str, ...]
):
    if managers == _ROOTED and (reason := probe_roots()):
        pytest.skip(f"no Debian roots here: {reason}")
    packages = {manager: [_USES[manager][0]] for manager in managers}
    place = await environment(client, "-".join(managers), packages)
    build = await built(server, place)
    if build["status"] == "failed" and any(word in build["reason"] for word in _UNREACHABLE):
        pytest.skip(f"a registry does not answer: {build['reason']}")
    assert build["status"] == "ready", build["reason"]
    talk = await conversation(client, place)
    shown = await talk.turn(f"use {' '.join(managers)}")
    assert results(shown) == [_USES[manager][2].strip() for manager in managers]


async def test_what_cannot_be_installed_is_told_and_named(server: Server, client: AsyncAnthropic):
    name = "no-package-has-this-name-0123456789"
    place = await environment(client, "impossible", {"pip": [name]})
    build = await built(server, place)
    assert build["status"] == "failed"
    assert build["reason"].startswith("pip: ")
    talk = await conversation(client, place)
    shown = await talk.turn("use a tool")
    (result,) = of(shown, "agent.tool_result")
    assert result.is_error
    assert "pip: " in results([result])[0]
    (error,) = of(shown, "session.error")
    assert (error.error.type, error.error.retry_status.type) == ("unknown_error", "retrying")
    assert "Packages were not installed: pip: " in error.error.message
