"""A gateway that runs tells of calls that wait, takes the answer by link, and ends the waiting."""

from collections.abc import Generator
from urllib.parse import urlsplit

import anyio
import pytest
from httpx2 import Client

from tests.api.asking import Place
from tests.gateway import SECONDS, serve
from tests.hook import Receiver, receiving


@pytest.fixture(scope="module")
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Generator[Place]:
    policy = {"approval_url": receiver.url, "public_url": "https://gateway.example"}
    with serve(tmp_path_factory.mktemp("gateway"), {"policy": policy}) as running:
        yield Place(running, running.tenant())


async def test_a_link_from_the_notice_approves_the_call(place: Place, receiver: Receiver):
    row = await anyio.to_thread.run_sync(lambda: place.ask("user_1", None, second_person=False))
    notice = await receiver.next()
    assert notice["id"] == row.id
    (links,) = notice["links"]
    parts = urlsplit(links["approve"])
    assert f"{parts.scheme}://{parts.netloc}" == "https://gateway.example"
    with Client(base_url=place.running.url, timeout=SECONDS) as browser:
        assert "Approve this call?" in browser.get(f"{parts.path}?{parts.query}").text
        assert "Approved" in browser.post(f"{parts.path}?{parts.query}").text
    assert place.answers(row) == [("allow", None)]


def test_what_nobody_answers_is_denied_in_the_end(place: Place):
    row = place.ask("user_1", expires_at=1)
    with place.tenant.client() as client, client.beta.sessions.events.stream(row.session) as stream:
        for event in stream:
            if event.type == "user.tool_confirmation":
                break
    ((result, reason),) = place.answers(row)
    assert result == "deny"
    assert (reason or "").startswith("nobody approved this call within")
    assert place.found(row).state == "expired"
