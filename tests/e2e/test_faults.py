"""A model endpoint that misbehaves ends a turn as promised, and never wedges a session.

A real endpoint on a loopback port sends the faults; the gateway reaches it as it would any other.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from tests.e2e import serving
from tests.e2e.conversation import TOOLSET, Conversation, of, processed, results, text, types
from tests.e2e.serving import Server
from tests.e2e.upstream import Upstream
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement
from tests.model import endpoint as say
from tests.model.endpoint import Reply, serve

_ATTEMPTS = 3
_GOOD = Reply(chunks=[say.stream(say.text("All is well."))])
_TRYING = [
    "span.model_request_start",
    "span.model_request_end",
    "session.error",
    "session.status_rescheduled",
    "session.thread_status_rescheduled",
    "session.status_running",
    "session.thread_status_running",
]
_BEGIN = ["session.status_running", "session.thread_status_running"]
_ANSWERED = ["span.model_request_start", "agent.message", "span.model_request_end"]
_REST = ["session.thread_status_idle", "session.usage", "session.status_idle"]
_GIVEN_UP = ["span.model_request_start", "span.model_request_end", "session.error", *_REST]


@pytest.fixture(scope="module")
def model() -> Iterator[Upstream]:
    with serve(Upstream) as running:
        yield running


@pytest.fixture(scope="module")
def server(model: Upstream) -> Iterator[Server]:
    with (
        serving.place() as folder,
        Server(
            folder / "data",
            ANTHROPIC_BASE_URL=model.url,
            ANTHROPIC_API_KEY="sk-upstream-secret",
            WHARFKEEP_MODELS__ATTEMPTS=_ATTEMPTS,
            WHARFKEEP_MODELS__BACKOFF_SECONDS=0.01,
            WHARFKEEP_MODELS__SILENCE_SECONDS=1,
            WHARFKEEP_LOOP__MAX_TOOL_ROUNDS=4,
        ) as running,
    ):
        yield running


class Patient:
    """A session whose model plays a given part."""

    def __init__(self, model: Upstream, talk: Conversation, name: str) -> None:
        self.talk = talk
        self._model = model
        self._name = name

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What its model was sent."""
        return self._model.asked[self._name]

    async def suffer(self, *replies: Reply) -> list[Any]:
        """Run one turn against these replies; returns its events, that of the message left out."""
        self._model.plays(self._name, *replies)
        return processed(await self.talk.turn("Go."))[1:]

    async def recover(self) -> list[Any]:
        """Run a good turn, which must work whatever was before."""
        shown = await self.suffer(_GOOD)
        assert types(shown) == [*_BEGIN, *_ANSWERED, *_REST]
        assert text(of(shown, "agent.message")[0]) == "All is well."
        assert flaws(await self.talk.log()) == []
        return shown


@pytest.fixture
async def patient(
    request: pytest.FixtureRequest, model: Upstream, client: AsyncAnthropic
) -> Patient:
    name = f"model-of-{abs(hash(request.node.nodeid))}"
    return Patient(model, await Conversation.begin(client, tools=[TOOLSET], model=name), name)


def status(code: int, kind: str, message: str = "No.", **headers: str) -> Reply:
    """An answer with an error status, as the Messages API sends it."""
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return Reply(
        status=code,
        content_type="application/json",
        chunks=[json.dumps(body).encode()],
        headers=headers,
    )


TRANSIENT = {
    "rate limited": (
        status(429, "rate_limit_error", **{"retry-after": "0.05"}),
        "model_rate_limited_error",
    ),
    "server error": (status(500, "api_error"), "model_request_failed_error"),
    "overloaded": (status(529, "overloaded_error"), "model_overloaded_error"),
    "hanging": (Reply(hang=True), "model_request_failed_error"),
    "hanging in the middle": (
        Reply(chunks=[say.start(), say.text("Half of an")], hang=True),
        "model_request_failed_error",
    ),
    "cut off": (
        Reply(chunks=[say.start(), say.text("Half of an")], cut=True),
        "model_request_failed_error",
    ),
    "not the Messages API": (
        Reply(content_type="text/html", chunks=[b"<html>Welcome!</html>"]),
        "model_request_failed_error",
    ),
}
_transient = pytest.mark.parametrize(
    ("fault", "error"), TRANSIENT.values(), ids=[name.replace(" ", "-") for name in TRANSIENT]
)


@_transient
@requirement("events:error:retrying", "events:span:usage")
async def test_a_fault_that_passes_is_told_and_the_turn_goes_on(
    patient: Patient, fault: Reply, error: str
):
    shown = await patient.suffer(fault, _GOOD)
    assert types(shown) == [*_BEGIN, *_TRYING, *_ANSWERED, *_REST]
    (told,) = of(shown, "session.error")
    assert (told.error.type, told.error.retry_status.type) == (error, "retrying")
    failed, good = of(shown, "span.model_request_end")
    assert (failed.is_error, failed.model_usage.output_tokens) == (True, 0)
    assert (good.is_error, good.model_usage.output_tokens) == (False, 7)
    assert shown[-1].stop_reason.type == "end_turn"
    await patient.recover()


@_transient
@requirement("events:error:exhausted", "events:turn:stop-reason")
async def test_a_fault_that_stays_ends_the_turn_and_not_the_session(
    patient: Patient, fault: Reply, error: str
):
    shown = await patient.suffer(fault)
    assert types(shown) == [*_BEGIN, *_TRYING * (_ATTEMPTS - 1), *_GIVEN_UP]
    told = of(shown, "session.error")
    assert {event.error.type for event in told} == {error}
    assert [event.error.retry_status.type for event in told] == [
        *["retrying"] * (_ATTEMPTS - 1),
        "exhausted",
    ]
    assert shown[-1].stop_reason.type == "retries_exhausted"
    await patient.recover()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (status(400, "invalid_request_error"), "model_request_failed_error"),
        (status(401, "authentication_error"), "billing_error"),
        (status(402, "billing_error"), "billing_error"),
        (status(404, "not_found_error"), "model_request_failed_error"),
    ],
    ids=["400", "401", "402", "404"],
)
async def test_a_refused_request_is_not_tried_again(patient: Patient, fault: Reply, error: str):
    shown = await patient.suffer(fault)
    assert types(shown) == [*_BEGIN, *_GIVEN_UP]
    (told,) = of(shown, "session.error")
    assert (told.error.type, told.error.retry_status.type) == (error, "exhausted")
    assert "sk-upstream-secret" not in told.to_json()
    await patient.recover()


@requirement("events:turn:refusal")
async def test_a_refusal_ends_the_turn_with_its_details(patient: Patient):
    details = {"type": "refusal", "category": "cyber", "explanation": "I would rather not."}
    delta = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    end = say.event("message_delta", delta=delta, usage={"output_tokens": 7})
    shown = await patient.suffer(
        Reply(chunks=[say.start(), say.text("I cannot."), end, say.event("message_stop")])
    )
    assert types(shown) == [*_BEGIN, *_ANSWERED, *_REST]
    for event in (shown[-1], shown[-3]):
        assert event.stop_reason.type == "refusal"
        assert event.stop_details.to_dict() == details
    await patient.recover()


async def test_an_answer_cut_at_its_token_limit_ends_the_turn(patient: Patient):
    shown = await patient.suffer(
        Reply(chunks=[say.stream(say.text("So long"), stop_reason="max_tokens")])
    )
    assert types(shown) == [*_BEGIN, *_ANSWERED, *_REST]
    assert shown[-1].stop_reason.type == "end_turn"
    await patient.recover()


async def test_a_paused_turn_is_asked_to_go_on(patient: Patient):
    paused = Reply(chunks=[say.stream(say.text("Wait."), stop_reason="pause_turn")])
    shown = await patient.suffer(paused, _GOOD)
    assert types(shown) == [*_BEGIN, *_ANSWERED, *_ANSWERED, *_REST]
    await patient.recover()


async def test_an_empty_answer_ends_the_turn(patient: Patient):
    shown = await patient.suffer(Reply(chunks=[say.stream()]))
    assert types(shown)[-3:] == _REST
    assert shown[-1].stop_reason.type == "end_turn"
    await patient.recover()


def _asks_for(name: str, given: str) -> Reply:
    use = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    block = say.block(0, use, {"type": "input_json_delta", "partial_json": given})
    return Reply(chunks=[say.stream(block, stop_reason="tool_use")])


async def test_a_call_that_is_no_json_is_an_error_the_model_reads(patient: Patient):
    shown = await patient.suffer(_asks_for("bash", '{"command": "ec'), _GOOD)
    (use,), (result,) = of(shown, "agent.tool_use"), of(shown, "agent.tool_result")
    assert (result.tool_use_id, result.is_error) == (use.id, True)
    assert "not valid JSON" in text(result)
    assert shown[-1].stop_reason.type == "end_turn"
    await patient.recover()


async def test_a_tool_that_does_not_exist_is_an_error_the_model_reads(patient: Patient):
    shown = await patient.suffer(_asks_for("teleport", "{}"), _GOOD)
    (result,) = of(shown, "agent.tool_result")
    assert (result.is_error, text(result)) == (True, "There is no tool named teleport.")
    await patient.recover()


async def test_arguments_that_do_not_fit_the_tool_are_an_error_the_model_reads(patient: Patient):
    shown = await patient.suffer(_asks_for("bash", '{"command": 7}'), _GOOD)
    (result,) = of(shown, "agent.tool_result")
    assert result.is_error
    await patient.recover()


@requirement("events:error:limits")
async def test_a_model_that_never_stops_calling_is_stopped(patient: Patient):
    shown = await patient.suffer(_asks_for("bash", '{"command": "true"}'))
    (told,) = of(shown, "session.error")
    assert told.error.type == "tool_use_limit_reached_error"
    assert told.error.retry_status.type == "exhausted"
    assert len(of(shown, "agent.tool_result")) == 4
    assert shown[-1].stop_reason.type == "retries_exhausted"
    await patient.recover()


@requirement("events:tool:spill")
async def test_a_huge_output_goes_to_a_file_that_the_model_can_read(patient: Patient):
    made = _asks_for("bash", '{"command": "seq 1 100000"}')
    shown = await patient.suffer(made, _GOOD)
    (shortened,) = results(shown)
    assert len(shortened) < 5000
    assert "/tmp/tool-results/" in shortened
    path = shortened.rpartition(" ")[2].strip("]")
    found = _asks_for("bash", json.dumps({"command": f"tail -n 1 {path}"}))
    assert results(await patient.suffer(found, _GOOD)) == ["100000"]


@requirement("events:compaction:event")
async def test_a_context_that_overflows_is_compacted_once(patient: Patient):
    await patient.recover()
    full = status(400, "invalid_request_error", "prompt is too long: 300000 tokens")
    summary = Reply(chunks=[say.stream(say.text("They said: go."))])
    shown = await patient.suffer(full, summary, _GOOD)
    assert types(shown) == [
        *_BEGIN,
        *("span.model_request_start", "span.model_request_end"),
        *("span.model_request_start", "span.model_request_end"),
        "agent.thread_context_compacted",
        *_ANSWERED,
        *_REST,
    ]
    assert shown[-1].stop_reason.type == "end_turn"
    await patient.recover()


@requirement("events:error:limits")
async def test_a_context_that_still_overflows_ends_the_turn(patient: Patient):
    await patient.recover()
    full = status(400, "invalid_request_error", "prompt is too long: 300000 tokens")
    shown = await patient.suffer(full)
    assert len(of(shown, "span.model_request_start")) == 2, "the request and one compaction"
    (told,) = of(shown, "session.error")
    assert told.error.type == "compaction_limit_reached_error"
    assert told.error.retry_status.type == "exhausted"
    assert shown[-1].stop_reason.type == "retries_exhausted"
    await patient.recover()
