"""Files in events: checked when they arrive, kept in the log as they were sent."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.building import make_session, turn
from tests.gateway import Running
from tests.ledger.requirement import requirement

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
OUTCOME: Any = {"type": "user.define_outcome", "description": "A report"}


def image(file: str) -> Any:
    return {"type": "image", "source": {"type": "file", "file_id": file}}


def document(file: str) -> Any:
    return {"type": "document", "source": {"type": "file", "file_id": file}, "title": "Report"}


def message(*blocks: Any) -> Any:
    return {"type": "user.message", "content": [{"type": "text", "text": "Look"}, *blocks]}


@requirement("files:events:content")
def test_images_and_documents_may_be_files_and_stay_so_in_the_log(client: Anthropic):
    picture = client.files.upload(file=("a.png", PNG)).id
    report = client.files.upload(file=("a.pdf", b"%PDF-1.7")).id
    notes = client.files.upload(file=("a.md", b"# Notes")).id
    sent = message(image(picture), document(report), document(notes))
    session = make_session(client)
    turn(client, session.id, sent)
    (shown,) = client.beta.sessions.events.list(session.id, types=["user.message"])
    assert shown.type == "user.message"
    assert [block.to_dict()["type"] for block in shown.content] == [
        "text",
        "image",
        "document",
        "document",
    ]
    sources: list[Any] = [block.to_dict()["source"] for block in shown.content[1:]]
    assert [source["file_id"] for source in sources] == [picture, report, notes]
    assert make_session(client, initial_events=[sent]).status == "running"


@requirement("files:events:refused")
@pytest.mark.parametrize(
    ("name", "data", "block", "error"),
    [
        ("a.txt", b"text", image, anthropic.BadRequestError),
        ("a.zip", b"PK\x03\x04", document, anthropic.BadRequestError),
        (None, b"", image, anthropic.NotFoundError),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_event(
    client: Anthropic, name: str | None, data: bytes, block: Any, error: type[Exception]
):
    file = client.files.upload(file=(name, data)).id if name else "file_01none"
    session = make_session(client)
    where = r"user\.message at {}\[1\]: content\.1\.source\.file_id"
    with pytest.raises(error, match=where.format("events")):
        client.beta.sessions.events.send(session.id, events=[message(), message(block(file))])
    assert list(client.beta.sessions.events.list(session.id)) == []
    with pytest.raises(error, match=where.format("initial_events")):
        make_session(client, initial_events=[message(), message(block(file))])


@requirement("files:events:refused")
def test_a_file_of_another_workspace_cannot_be_sent(client: Anthropic, stranger: Anthropic):
    foreign = stranger.files.upload(file=("a.png", PNG)).id
    with pytest.raises(anthropic.NotFoundError, match=foreign):
        client.beta.sessions.events.send(make_session(client).id, events=[message(image(foreign))])


@requirement("files:events:refused")
def test_a_file_that_no_request_could_carry_is_refused(client: Anthropic, gateway: Running):
    most = gateway.gateway.config.files.inline
    large = client.files.upload(file=("a.pdf", b"%PDF-1.7" + b"\0" * most)).id
    with pytest.raises(anthropic.BadRequestError, match="can carry"):
        client.beta.sessions.events.send(make_session(client).id, events=[message(document(large))])


@requirement("files:events:rubric")
def test_a_rubric_in_a_file_comes_back_as_text(client: Anthropic):
    file = client.files.upload(file=("rubric.md", "Be kind. ✓".encode())).id
    session = make_session(client)
    outcome: Any = {**OUTCOME, "rubric": {"type": "file", "file_id": file}}
    sent = client.beta.sessions.events.send(session.id, events=[outcome])
    assert sent.data is not None
    (event,) = sent.data
    assert event.type == "user.define_outcome"
    assert event.rubric.to_dict() == {"type": "text", "content": "Be kind. ✓"}


@requirement("files:events:rubric")
@pytest.mark.parametrize(
    "content", [b"", b" \n", b"\xff\xfe", b"nul\0", b"x" * 262_145, b"y" * 2**21]
)
def test_a_rubric_must_be_text_of_some_length(client: Anthropic, content: bytes):
    file = client.files.upload(file=("rubric.md", content)).id
    outcome: Any = {**OUTCOME, "rubric": {"type": "file", "file_id": file}}
    with pytest.raises(anthropic.BadRequestError, match=r"rubric\.file_id"):
        client.beta.sessions.events.send(make_session(client).id, events=[outcome])
