"""Secrets that a session makes use of, and a search for them in everything that it leaves behind."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import serving
from tests.e2e.conversation import SECONDS, Conversation, results
from tests.e2e.githost import GitHost, basic, git_host
from tests.e2e.serving import Server
from tests.model.endpoint import Endpoint, Reply, block, serve, stream, text
from tests.sandbox.outside import Authority
from tests.toolservers.internet import Internet, Page

API_KEY = "wk-canary-api-0123456789"
MODEL_KEY = "canary-model-0123456789"
TOKEN = "canary-token-0123456789"
SEARCH_KEY = "canary-search-0123456789"
SECRETS = (API_KEY, MODEL_KEY, TOKEN, SEARCH_KEY, basic(TOKEN).removeprefix("Basic "))

CONTROL = "canary-that-is-none"
"""Is found wherever the search looks, which shows that it looks there."""

_LOOK = (
    "cd /workspace/private && git fetch -q && cat a.txt;"
    " printf 'canary-%s' that-is-none > /workspace/control;"
    " (env; git config -l; cat /proc/*/environ /proc/*/cmdline) > /workspace/seen 2>/dev/null;"
    " cp -r /opt/wharfkeep /home/agent/ 2>/dev/null"
)
_SEARCH = (
    "grep -raoh 'canary[-][a-z-]*' /workspace /home/agent /mnt /tmp /run /opt /etc"
    " /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | sort -u"
)
_ARCHIVED = "SELECT count(*) FROM sandboxes WHERE archived IS NOT NULL AND idle_at IS NULL"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def host(authority: Authority, tmp_path: Path) -> Iterator[GitHost]:
    with git_host(tmp_path, authority) as host:
        host.make("private", {"a.txt": "hello\n"}, TOKEN)
        yield host


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Internet]:
    """A search engine that answers as SearXNG does."""
    (tmp_path / "internet").mkdir()
    with Internet(tmp_path / "internet") as engine:
        found = {"results": [{"url": "http://a.example/", "title": "A", "content": "Ships"}]}
        engine.pages[f"localhost:{engine.http}/search"] = Page(
            json.dumps(found), "application/json"
        )
        yield engine


@pytest.fixture
def model() -> Iterator[Endpoint]:
    with serve(Endpoint) as endpoint:
        endpoint.replies = [
            _calls("bash", command=_LOOK),
            _calls("web_search", query="ships"),
            Reply(chunks=[stream(text("Looked."))]),
            _calls("bash", command=_SEARCH),
            Reply(chunks=[stream(text("Searched."))]),
        ]
        yield endpoint


def _calls(name: str, **arguments: str) -> Reply:
    call = {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}}
    given = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    return Reply(chunks=[stream(block(0, call, given), stop_reason="tool_use")])


@pytest.fixture
def server(
    home: Path, model: Endpoint, authority: Authority, host: GitHost, search: Internet
) -> Iterator[Server]:
    with Server(
        home / "data",
        WHARFKEEP_API_KEY=API_KEY,
        ANTHROPIC_BASE_URL=model.url,
        ANTHROPIC_API_KEY=MODEL_KEY,
        WHARFKEEP_WEB__SEARCH="searxng",
        WHARFKEEP_WEB__SEARCH_URL=f"http://localhost:{search.http}",
        WHARFKEEP_WEB__SEARCH_KEY=SEARCH_KEY,
        WHARFKEEP_EGRESS__CA_FILE=authority.file,
        WHARFKEEP_EGRESS__ALLOWED_PRIVATE_HOSTS=json.dumps([host.address]),
        WHARFKEEP_SANDBOX__FREEZE_SECONDS=0,
        WHARFKEEP_SANDBOX__IDLE_SECONDS=0,
        WHARFKEEP_SANDBOX__ARCHIVE_SECONDS=0,
    ) as running:
        yield running


def archived(server: Server) -> int:
    with closing(sqlite3.connect(server.data_dir / "wharfkeep.db", timeout=SECONDS)) as database:
        return database.execute(_ARCHIVED).fetchone()[0]


def search_in(places: list[bytes]) -> list[str]:
    return [each for each in SECRETS if any(each.encode() in place for place in places)]


@pytest.mark.probe(84)
async def test_no_secret_is_in_the_sandbox_its_archive_the_log_the_events_or_the_database(
    server: Server, model: Endpoint, host: GitHost, search: Internet
):
    options: dict[str, Any] = {"base_url": server.url, "api_key": API_KEY, "max_retries": 0}
    async with AsyncAnthropic(timeout=serving.SECONDS, **options) as client:
        talk = await Conversation.begin(
            client,
            resources=[
                {
                    "type": "github_repository",
                    "url": host.url("private"),
                    "authorization_token": TOKEN,
                }
            ],
        )
        looked, _ = results(await talk.turn("look"))
        assert looked.startswith("hello")
        with anyio.fail_after(SECONDS):
            while not archived(server):  # noqa: ASYNC110 - another process writes it
                await anyio.sleep(0.02)
        [archive] = (server.data_dir / "blobs/archives").glob("*/*")
        assert CONTROL.encode() in archive.read_bytes(), "it can be searched as it is"
        disk = [place.read_bytes() for place in server.data_dir.rglob("*") if place.is_file()]
        searched = results(await talk.turn("search"))[-1]
        events = [event.to_json() for event in await talk.log()]

    assert basic(TOKEN) in {header for _, header in host.heard}, "each is made use of"
    assert {asked.headers["authorization"] for asked in model.requests} == {f"Bearer {MODEL_KEY}"}
    sent = [word for visit in search.visits for word in visit.headers.values()]
    assert f"Bearer {SEARCH_KEY}" in sent

    assert searched.startswith(CONTROL), "the files of the archive were searched inside"
    assert "canary" not in searched.removeprefix(CONTROL)
    assert search_in([searched.encode(), *(event.encode() for event in events)]) == []
    assert search_in([server.log.encode()]) == []
    assert search_in(disk) == [], "archive, database and everything else that is kept"
    disk = [place.read_bytes() for place in server.data_dir.rglob("*") if place.is_file()]
    assert search_in(disk) == []
