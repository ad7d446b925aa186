"""Repositories of sessions: a real git inside, a real server outside, and a token between."""

import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anthropic import AsyncAnthropic
from httpx2 import AsyncClient

from gateway.store.store import DATABASE
from tests.e2e import script, serving
from tests.e2e.conversation import INTERRUPT, Conversation, of, results
from tests.e2e.githost import GitHost, basic, git_host
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import Server
from tests.ledger.requirement import requirement
from tests.sandbox.outside import Authority

TOKEN = "tok-7d1f0a5c9e"
NEW = "tok-new-41b2"
SKILL = "---\nname: deploy\ndescription: How to deploy <this>\n---\nRun it.\n"

_PUSH = (
    "cd /workspace/private && cat a.txt && git config user.name A && git config user.email a@b"
    " && head -c 3000000 /dev/urandom > b.txt && git add b.txt && git commit -qm 'from inside' && git push -q && echo pushed"
    "; git fetch -q && echo fetched; git pull -q && echo pulled; git config remote.origin.url"
)
_SEARCH = (
    "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; git config -l --show-origin;"
    " cd /workspace/private; git config -l; grep -ra . /workspace /home/agent /opt/wharfkeep/network"
    " --include='*' -h 2>/dev/null | grep -a -i -e tok- -e x-access -e authorization; env; echo searched"
)
_FETCH = "cd /workspace/private && git fetch -q && echo fetched"
_LOOK = "cd /workspace && ls -A; cat */a.txt; for d in */; do git -C $d branch --show-current; done"
_ELSEWHERE = (
    "git ls-remote {other}; git ls-remote {longer}; curl -sSi http://{host}/:{port}/private/x;"
    " curl -sS -H 'Authorization: Basic c3RvbGVu' -o /dev/null"
    " 'http://{host}/:{port}/private/info/refs?service=git-upload-pack' && echo asked"
)


with_curl = pytest.mark.skipif(
    shutil.which("curl", path="/usr/bin") is None, reason="curl is not installed for everyone here"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def host(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHost]:
    with git_host(tmp_path_factory.mktemp("repositories"), authority) as host:
        yield host


@pytest.fixture(scope="module")
def server(authority: Authority, host: GitHost) -> Iterator[Server]:
    host.make("private", {"a.txt": "hello\n", ".claude/skills/deploy/SKILL.md": SKILL}, TOKEN, NEW)
    with serving.place() as folder, prepare(folder, authority, host) as running:
        yield running


def prepare(folder: Path, authority: Authority, host: GitHost, **settings: Any) -> Server:
    elsewhere = _ELSEWHERE.format(
        other=host.url("other"),
        longer=host.url("private2"),
        host=host.address,
        port=host.port,
    )
    path = script.write(
        folder,
        turn("push", step("I push.", bash(_PUSH)), "Done."),
        turn("search", step("I search.", bash(_SEARCH)), "Done."),
        turn("fetch", step("I fetch.", bash(_FETCH)), "Done."),
        turn("look", step("I look.", bash(_LOOK)), "Done."),
        turn("elsewhere", step("I try.", bash(elsewhere)), "Done."),
    )
    return Server(
        folder / "data",
        WHARFKEEP_MODELS__SCRIPT=path,
        WHARFKEEP_EGRESS__CA_FILE=authority.file,
        WHARFKEEP_EGRESS__ALLOWED_PRIVATE_HOSTS=json.dumps([host.address]),
        **settings,
    )


def attach(host: GitHost, name: str, token: str | None = None, **fields: Any) -> dict[str, Any]:
    given = {} if token is None else {"authorization_token": token}
    return {"type": "github_repository", "url": host.url(name), **given, **fields}


async def begin(client: AsyncAnthropic, *resources: dict[str, Any]) -> Conversation:
    return await Conversation.begin(client, resources=list(resources))


def errors(events: list[Any]) -> list[tuple[str, str | None]]:
    return [
        (event.error.type, getattr(event.error, "repository_url", None))
        for event in of(events, "session.error")
    ]


@requirement("resources:repository:clone")
async def test_an_agent_works_with_a_private_repository_as_usual(
    client: AsyncAnthropic, host: GitHost
):
    talk = await begin(client, attach(host, "private", TOKEN))
    await talk.turn("push")
    events = await talk.log()
    (said,) = results(events)
    assert said.startswith("hello"), said
    assert "pushed" in said
    assert "fetched\npulled" in said
    assert said.endswith(host.url("private"))
    assert host.head("private", "main") == "from inside"
    assert errors(events) == []


async def test_each_use_of_the_token_is_on_record(
    client: AsyncAnthropic, host: GitHost, server: Server
):
    before = len(host.heard)
    talk = await begin(client, attach(host, "private", TOKEN))
    await talk.turn("push")
    resource = (await talk.state()).resources[0].id
    headers = {"authorization": f"Bearer {serving.KEY}"}
    asked: dict[str, Any] = {"session": talk.id, "kind": "credential", "limit": 1000}
    async with AsyncClient(base_url=server.url, headers=headers) as http:
        found = await http.get("/wharfkeep/v1/audit", params=asked)
    used = [record["body"]["credential"] for record in found.json()["data"]]
    sent = [credential for _, credential in host.heard[before:] if credential is not None]
    assert used == [resource] * len(sent)
    assert used != []
    assert TOKEN not in found.text


@requirement("resources:token:write-only")
async def test_the_token_is_nowhere_inside_nor_in_the_clear_outside(
    client: AsyncAnthropic, host: GitHost, server: Server
):
    talk = await begin(client, attach(host, "private", TOKEN))
    await talk.turn("search")
    events = await talk.log()
    (said,) = results(events)
    assert said.endswith("searched")
    assert "url.http://" in said, "git's settings are among what was searched"
    secrets = (TOKEN, basic(TOKEN).removeprefix("Basic "))
    session = (await talk.state()).to_json()
    shown = [said, session, *(event.to_json() for event in events), server.log]
    kept = [path.read_bytes() for path in server.data_dir.glob(f"{DATABASE}*")]
    for secret in secrets:
        assert all(secret not in text for text in shown)
        assert all(secret.encode() not in data for data in kept)


@requirement("resources:update:token")
async def test_a_new_token_is_used_at_once(client: AsyncAnthropic, host: GitHost):
    talk = await begin(client, attach(host, "private", TOKEN))
    await talk.turn("fetch")
    resource = (await talk.state()).resources[0]
    changed = await client.beta.sessions.resources.update(
        resource.id, session_id=talk.id, authorization_token=NEW
    )
    assert changed.to_dict().keys() == resource.to_dict().keys()
    await talk.turn("fetch")
    assert results(await talk.log()) == ["fetched", "fetched"]
    assert host.heard[-1][1] == basic(NEW)


@requirement("resources:repository:checkout")
async def test_branches_commits_and_places_are_as_asked_for(client: AsyncAnthropic, host: GitHost):
    host.make("two", {"a.txt": "main\n"})
    loose = host.commit("two", {"a.txt": "replaced\n"}, "side")
    host.commit("two", {"a.txt": "side\n"}, "side")
    host.commit("two", {"a.txt": "fresh\n"}, "main")
    talk = await begin(
        client,
        attach(host, "two", checkout={"type": "branch", "name": "side"}),
        attach(
            host,
            "two",
            checkout={"type": "commit", "sha": loose},
            mount_path="/workspace/at",
        ),
    )
    await talk.turn("look")
    events = await talk.log()
    assert results(events) == ["at\ntwo\nreplaced\nside\nside"]
    assert errors(events) == []


@requirement("resources:repository:errors")
async def test_each_failure_is_told_and_the_session_goes_on(client: AsyncAnthropic, host: GitHost):
    host.make("forbidden", {"a.txt": ""})
    host.answers |= {"forbidden": 403, "broken": 500}
    host.make("fine", {"a.txt": "fine\n"})
    nobody = host.url("x").replace(str(host.port), "1")
    kinds = {
        "authentication": attach(host, "private", "tok-wrong"),
        "forbidden": attach(host, "forbidden", TOKEN),
        "not_found": attach(host, "nowhere", TOKEN),
        "checkout": attach(
            host, "fine", checkout={"type": "branch", "name": "none"}, mount_path="/workspace/no"
        ),
        "clone": attach(host, "broken"),
    }
    metadata = "https://169.254.169.254/x/metadata"
    others = [{"type": "github_repository", "url": url} for url in (nobody, metadata)]
    talk = await begin(client, *kinds.values(), *others, attach(host, "fine"))
    await talk.turn("look")
    events = await talk.log()
    expected = [(f"repository_{kind}_error", kinds[kind]["url"]) for kind in kinds]
    expected += [("repository_clone_error", url) for url in (nobody, metadata)]
    assert sorted(errors(events)) == sorted(expected)
    said = [event.error.message for event in of(events, "session.error")]
    assert any("address:" in message for message in said), said
    assert all(message in results(events)[0] for message in said), "the model knows too"
    assert {e.error.retry_status.type for e in of(events, "session.error")} == {"retrying"}
    assert "tok-wrong" not in str([event.to_json() for event in events])
    assert results(events)[0].startswith("fine\nfine\nmain"), "the others are there"
    told = [event.type for event in events]
    assert told.index("session.error") < told.index("span.model_request_start")


@requirement("resources:repository:retried")
async def test_what_failed_is_tried_again_when_the_session_works_again(
    client: AsyncAnthropic, host: GitHost
):
    host.make("later", {"a.txt": "at last\n"}, TOKEN)
    talk = await begin(client, attach(host, "later", "tok-wrong"))
    await talk.turn("look")
    await talk.turn("look")
    (resource,) = (await talk.state()).resources
    await client.beta.sessions.resources.update(
        resource.id, session_id=talk.id, authorization_token=TOKEN
    )
    await talk.turn("look")
    events = await talk.log()
    assert [kind for kind, _ in errors(events)] == ["repository_authentication_error"] * 2
    assert results(events)[2].startswith("later\nat last")


async def test_an_interrupt_ends_a_clone_that_takes_long(client: AsyncAnthropic, host: GitHost):
    host.make("slow", {"a.txt": "there\n"})
    free = host.hold["slow"] = threading.Event()
    talk = await begin(client, attach(host, "slow"))
    async with talk.stream() as stream:
        await talk.send("look")
        assert await anyio.to_thread.run_sync(host.asked.wait, 20.0)
        await talk.send(INTERRUPT)
        await stream.until_idle()
    del host.hold["slow"]
    free.set()
    await talk.turn("look")
    events = await talk.log()
    assert errors(events) == []
    assert results(events) == ["slow\nthere\nmain"]


async def test_it_is_cloned_once_and_survives_a_crash(
    authority: Authority, host: GitHost, home: Path
):
    host.make("kept", {"a.txt": "kept\n"}, TOKEN)
    server = prepare(home, authority, host)
    with server:
        async with server.client() as client:
            talk = await begin(client, attach(host, "kept", TOKEN))
            await talk.turn("look")
    before = len(host.heard)
    with server:
        async with server.client() as client:
            talk = Conversation(client, talk.id)
            await talk.turn("look")
            seen = results(await talk.log())
    assert seen[0] == "kept\nkept\nmain"
    assert seen[1].startswith(seen[0])
    assert len(host.heard) == before


async def test_a_sandbox_that_starts_from_nothing_has_it_again(
    authority: Authority, host: GitHost, home: Path
):
    host.make("again", {"a.txt": "again\n"}, TOKEN)
    server = prepare(home, authority, host, WHARFKEEP_SANDBOX__EXPIRE_DAYS="1e-9")
    with server:
        async with server.client() as client:
            talk = await begin(client, attach(host, "again", TOKEN))
            await talk.turn("look")
    host.commit("again", {"a.txt": "changed\n"})
    with server:
        async with server.client() as client:
            talk = Conversation(client, talk.id)
            await talk.turn("look")
            seen = results(await talk.log())
    assert seen[0] == "again\nagain\nmain"
    assert seen[1].startswith("again\nchanged\nmain")


async def test_a_clone_that_takes_too_long_is_given_up(
    authority: Authority, host: GitHost, home: Path
):
    free = host.hold["stuck"] = threading.Event()
    with prepare(home, authority, host, WHARFKEEP_SANDBOX__CLONE_SECONDS="1") as server:
        async with server.client() as client:
            talk = await begin(client, attach(host, "stuck"))
            shown = await talk.turn("look")
    free.set()
    (error,) = of(shown, "session.error")
    assert error.error.type == "repository_clone_error"
    assert "within 1 seconds" in error.error.message


@with_curl
async def test_only_git_and_only_that_repository_get_the_token(
    client: AsyncAnthropic, host: GitHost
):
    host.make("other", {"a.txt": ""}, TOKEN)
    host.make("private2", {"a.txt": ""}, TOKEN)
    talk = await begin(client, attach(host, "private", TOKEN))
    await talk.turn("fetch")
    before = len(host.heard)
    await talk.turn("elsewhere")
    said = results(await talk.log())[1]
    assert said.count("could not read Username") == 2, said
    heard = {(path.split("/")[1], credential) for path, credential in host.heard[before:]}
    assert heard == {
        ("other", None),
        ("private2", None),
        ("private", None),  # a page of it
        ("private", basic(TOKEN)),  # what git asks for, whatever credential came from inside
    }


async def test_a_host_that_redirects_to_its_other_name_is_understood(
    client: AsyncAnthropic, host: GitHost
):
    host.make("renamed.git", {"a.txt": "moved\n"}, TOKEN)
    host.answers["renamed"] = 301
    talk = await begin(client, attach(host, "renamed", TOKEN))
    await talk.turn("look")
    events = await talk.log()
    assert errors(events) == []
    assert results(events)[0].startswith("renamed\nmoved")


@requirement("resources:repository:skills")
async def test_skills_are_found_and_a_hostile_tree_is_not_followed(
    client: AsyncAnthropic, host: GitHost, server: Server
):
    work = host.make("hostile", {".claude/skills/huge/SKILL.md": "x" * 1_000_000, "a.txt": ""})
    (work / ".claude/skills/link").symlink_to("/home/agent")
    (work / ".claude/skills/file").mkdir()
    (work / ".claude/skills/file/SKILL.md").symlink_to("/etc/passwd")
    (work / ".gitmodules").write_text(
        '[submodule "s"]\n\tpath = s\n\turl = ext::sh -c touch%20/workspace/owned\n'
    )
    host.commit("hostile", {".claude/skills/a/b/SKILL.md": SKILL, "hooks/post-checkout": "exit 1"})
    away = host.make("away", {"elsewhere/skills/x/SKILL.md": SKILL, "a.txt": ""})
    (away / ".claude").symlink_to("elsewhere")
    host.commit("away", {})
    talk = await begin(
        client, attach(host, "private", TOKEN), attach(host, "hostile"), attach(host, "away")
    )
    await talk.turn("look")
    assert errors(await talk.log()) == []
    with sqlite3.connect(server.data_dir / DATABASE) as database:
        (body,) = database.execute("SELECT body FROM sessions WHERE id = ?", [talk.id]).fetchone()
    found = [skill for each in json.loads(body)["repository_skills"].values() for skill in each]
    places = {skill["name"]: (skill["path"], skill["description"]) for skill in found}
    assert places == {
        "deploy": ("/workspace/private/.claude/skills/deploy/SKILL.md", "How to deploy this"),
        "huge": ("/workspace/hostile/.claude/skills/huge/SKILL.md", ""),
    }
    assert "repository_skills" not in (await talk.state()).to_dict()


@with_curl
async def test_a_limited_environment_reaches_its_repository_and_nothing_else_there(
    client: AsyncAnthropic, host: GitHost
):
    agent = await client.beta.agents.create(
        name="Tester", model="claude-haiku-4-5", tools=[{"type": "agent_toolset_20260401"}]
    )
    networking: Any = {"type": "limited", "allowed_hosts": []}
    place = await client.beta.environments.create(
        name="limited", config={"type": "cloud", "networking": networking}
    )
    resources: Any = [attach(host, "private", TOKEN)]
    made = await client.beta.sessions.create(
        agent=agent.id, environment_id=place.id, resources=resources
    )
    talk = Conversation(client, made.id)
    await talk.turn("fetch")
    await talk.turn("elsewhere")
    fetched, elsewhere = results(await talk.log())
    assert fetched == "fetched"
    assert re.findall(r"X-Wharfkeep-Egress: (\S+)", elsewhere) == ["network:port"]
    assert elsewhere.count("403") >= 3, elsewhere
