"""The scripted model: the public way to run everything without a real one."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.errors import ConfigError
from gateway.model.contract import Answer, ModelError, Part, Request, TextDelta, Thinking, ToolStart
from gateway.model.fake import FakeModel
from gateway.model.script import load, parse

TASK = (
    "Create a Python script that finds the first 50 prime numbers, saves them to primes.txt "
    "(one per line), and prints the largest prime and the sum of all 50 primes."
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def result(text: str, *, is_error: bool = False) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}
    return {"role": "user", "content": [{**block, "is_error": is_error}]}


def said(answer: Answer) -> dict[str, Any]:
    return {"role": "assistant", "content": answer.content, "endpoint": answer.endpoint}


def ask(*messages: dict[str, Any], **fields: Any) -> Request:
    base: dict[str, Any] = {"model": "claude-haiku-4-5", "system": "", "tools": []}
    base["messages"] = list(messages)
    return Request(**{**base, **fields})


async def play(model: FakeModel, request: Request, heard: list[Part] | None = None) -> list[Part]:
    parts: list[Part] = [] if heard is None else heard
    with anyio.fail_after(30):
        async with aclosing(model.stream(request)) as stream:
            async for part in stream:
                parts.append(part)  # noqa: PERF401 - kept when the stream breaks off
    return parts


async def answer(model: FakeModel, *messages: dict[str, Any], **fields: Any) -> Answer:
    last = (await play(model, ask(*messages, **fields)))[-1]
    assert isinstance(last, Answer)
    return last


def text_of(answer: Answer) -> str:
    return "".join(block["text"] for block in answer.content if block["type"] == "text")


def scripted(*turns: dict[str, Any], **fields: Any) -> FakeModel:
    return FakeModel(parse({"turns": list(turns), **fields}), silence_seconds=0.05)


async def test_the_quickstart_task_is_written_run_checked_and_reported(tmp_path: Path) -> None:
    model = FakeModel()
    talk = [user(TASK)]

    written = await answer(model, *talk)
    assert text_of(written)
    call = written.content[-1]
    assert (call["name"], call["input"]["file_path"]) == ("write", "/workspace/primes.py")
    (tmp_path / "primes.py").write_text(call["input"]["content"], encoding="utf-8")
    talk += [said(written), result("wrote 600 bytes")]

    run = await answer(model, *talk)
    assert run.content[-1]["input"] == {"command": "python3 primes.py"}
    ran = await anyio.run_process([sys.executable, "primes.py"], cwd=tmp_path)
    talk += [said(run), result(ran.stdout.decode())]

    check = await answer(model, *talk)
    assert "/mnt/session/outputs" in check.content[-1]["input"]["command"]
    talk += [said(check), result("lines: 50\nlast line: 229")]

    last = await answer(model, *talk)
    assert last.stop_reason == "end_turn"
    assert "Largest prime: 229" in text_of(last)
    assert "5117" in text_of(last)
    assert "lines: 50" in text_of(last)
    assert len((tmp_path / "primes.txt").read_text(encoding="utf-8").splitlines()) == 50


def test_the_quickstart_script_does_not_know_the_result() -> None:
    path = Path(sys.modules["gateway.model.script"].__file__ or "").parent / "scripts/primes.toml"
    text = path.read_text(encoding="utf-8")
    assert "229" not in text
    assert "5117" not in text


async def test_any_other_text_gets_a_polite_answer_and_no_tools() -> None:
    model = FakeModel()
    for talk in ([user("What is the tide?")], [user(TASK), user("Thanks!")]):
        last = await answer(model, *talk)
        assert last.stop_reason == "end_turn"
        assert "scripted model" in text_of(last)


async def test_a_failed_tool_call_is_reported_and_never_passed_over() -> None:
    model = FakeModel()
    first = await answer(model, user(TASK))
    last = await answer(
        model, user(TASK), said(first), result("no space left on device", is_error=True)
    )
    assert last.stop_reason == "end_turn"
    assert "no space left on device" in text_of(last)


async def test_where_a_conversation_stands_is_read_from_the_conversation_alone() -> None:
    steps = [{"text": "one", "tools": [{"name": "bash"}]}, {"text": "two"}]
    turns: list[dict[str, Any]] = [{"steps": steps}, {"steps": [{"text": "three"}]}]
    talk = [user("a")]
    heard: list[str] = []
    for follow in (result("ok"), user("b"), user("c")):
        fresh = scripted(*turns)  # as after a restart
        got = await answer(fresh, *talk)
        heard.append(text_of(got))
        talk += [said(got), follow]
    heard.append(text_of(await answer(scripted(*turns), *talk)))
    assert heard == ["one", "two", "three", "three"]


async def test_patterns_come_before_order_and_take_no_part_in_it() -> None:
    model = scripted(
        {"steps": [{"text": "first"}]},
        {"when": "TIDE", "steps": [{"text": "high"}]},
        {"steps": [{"text": "second"}]},
    )
    assert text_of(await answer(model, user("the tide?"))) == "high"
    assert text_of(await answer(model, user("the tide?"), user("x"))) == "first"
    assert text_of(await answer(model, user("x"), user("the tide?"), user("y"))) == "second"


async def test_placeholders_are_filled_once_with_what_happened() -> None:
    step = {"text": "{last_text}|{result_1}|{last_result}|{result_9}", "tools": []}
    call = {"name": "bash", "input": {"args": ["{last_text}"], "n": 1}}
    model = scripted({"steps": [{"tools": [call]}, {"tools": [call]}, step]})
    first = await answer(model, user("say {last_result}"))
    assert first.content[0]["input"] == {"args": ["say {last_result}"], "n": 1}
    talk = [user("hi"), said(first), result("{last_text}"), said(first), result("B")]
    assert text_of(await answer(model, *talk)) == "hi|{last_text}|B|(no result)"


async def test_an_answer_streams_in_pieces_that_make_up_its_blocks() -> None:
    text = "One long sentence  that is said\nin several pieces.\n"
    step = {"thinking": "Hm.", "text": text, "tools": [{"name": "bash", "input": {"a": 1}}]}
    parts = await play(scripted({"steps": [step]}), ask(user("x")))
    deltas = [part for part in parts if isinstance(part, TextDelta)]
    assert len(deltas) > 2
    assert "".join(delta.text for delta in deltas) == text
    assert {delta.index for delta in deltas} == {0}
    assert parts[0] == Thinking(0)
    assert isinstance(parts[-2], ToolStart)
    assert isinstance(parts[-1], Answer)
    assert [block["type"] for block in parts[-1].content] == ["thinking", "text", "tool_use"]


async def test_ids_are_the_same_every_time_and_different_at_every_point() -> None:
    model = scripted({"steps": [{"tools": [{"name": "a"}, {"name": "b"}]}]})
    ids = [b["id"] for b in (await answer(model, user("x"))).content]
    assert ids == [b["id"] for b in (await answer(model, user("x"))).content]
    others = [b["id"] for b in (await answer(model, user("y"))).content]
    assert len({*ids, *others}) == 4


async def test_raw_tool_input_may_be_broken() -> None:
    model = scripted({"steps": [{"tools": [{"name": "bash", "raw": '{"command": '}]}]})
    got = await answer(model, user("x"))
    assert got.content[0]["input"] == {}
    assert got.broken_tools == {got.content[0]["id"]}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(429, "rate_limited", True), (529, "overloaded", True), (401, "billing", False)],
)
async def test_a_scripted_status_fails_as_an_endpoint_would(
    status: int, kind: str, retryable: bool
) -> None:
    fail = {"status": status, "retry_after": 2.5}
    model = scripted({"steps": [{"text": "at last", "fail": fail}]})
    with pytest.raises(ModelError) as caught:
        await answer(model, user("x"))
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.retry_after == (2.5 if retryable else None)
    assert text_of(await answer(model, user("x"))) == "at last"


async def test_a_fault_strikes_as_often_as_it_says() -> None:
    for times, failures in ((2, 2), (0, 4)):
        model = scripted({"steps": [{"text": "ok", "fail": {"status": 500, "times": times}}]})
        seen = 0
        for _ in range(4):
            try:
                await answer(model, user("x"))
            except ModelError:
                seen += 1
        assert seen == failures


async def test_a_hang_ends_like_a_silence() -> None:
    model = scripted({"steps": [{"text": "ok", "fail": {"hang": True}}]})
    with pytest.raises(ModelError, match="silent for") as caught:
        await answer(model, user("x"))
    assert caught.value.retryable


async def test_a_cut_comes_after_half_of_the_answer() -> None:
    step = {"text": "a few words to be cut off in the middle", "fail": {"cut": True}}
    heard: list[Part] = []
    with pytest.raises(ModelError) as caught:
        await play(scripted({"steps": [step]}), ask(user("x")), heard)
    assert caught.value.retryable
    assert heard
    assert all(isinstance(part, TextDelta) for part in heard)


async def test_usage_is_estimated_unless_the_script_says() -> None:
    counts = {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 7}
    model = scripted({"steps": [{"text": "x"}]}, {"steps": [{"text": "y", "usage": counts}]})
    guessed = (await answer(model, user("Hello " * 100))).usage
    assert guessed.estimated
    assert 100 < guessed.input_tokens < 250
    told = (await answer(model, user("a"), user("b"))).usage
    assert (told.input_tokens, told.output_tokens, told.cache_read_input_tokens) == (5, 6, 7)
    assert not told.estimated


async def test_a_refusal_can_be_scripted() -> None:
    details = {"type": "refusal", "category": None, "explanation": "No."}
    step = {"stop_reason": "refusal", "stop_details": details}
    got = await answer(scripted({"steps": [step]}), user("x"))
    assert (got.stop_reason, got.stop_details, got.content) == ("refusal", details, [])


@pytest.mark.parametrize("purpose", ["compact", "grade", "judge"])
async def test_other_purposes_have_answers_of_their_own(purpose: str) -> None:
    model = scripted({"steps": [{"text": "turn"}]}, **{purpose: {"text": f"for {purpose}"}})
    assert text_of(await answer(model, user("x"), purpose=purpose)) == f"for {purpose}"


async def test_a_script_that_is_over_ends_the_turn() -> None:
    model = scripted({"steps": [{"tools": [{"name": "bash"}]}]})
    first = await answer(model, user("x"))
    last = await answer(model, user("x"), said(first), result("ok"))
    assert last.stop_reason == "end_turn"


async def test_playing_can_be_cancelled() -> None:
    model = scripted({"steps": [{"text": "x", "delay_seconds": 600}]})
    with anyio.fail_after(10), anyio.move_on_after(0.01) as scope:
        await answer(model, user("x"))
    assert scope.cancelled_caught


def test_capabilities_are_those_of_the_model_it_plays() -> None:
    assert FakeModel().capabilities("claude-haiku-4-5").max_input_tokens == 200_000
    assert FakeModel().capabilities("anything").endpoint == "script"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "turns"),
        ({"turns": []}, "turns"),
        ({"turns": [{"steps": [{"txt": "x"}]}]}, "turns.0.steps.0.txt"),
        ({"turns": [{"when": "(", "steps": [{}]}]}, "not a regular expression"),
        ({"turns": [{"steps": [{"fail": {}}]}]}, "exactly one of status, hang and cut"),
        ({"turns": [{"steps": [{"stop_reason": "tired"}]}]}, "stop_reason"),
        ([], "the model script"),
    ],
)
def test_a_script_error_names_the_key_and_the_rule(document: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(document)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scripts_are_toml_or_json(tmp_path: Path) -> None:
    toml, json_ = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('[[turns]]\n[[turns.steps]]\ntext = "hi"\n', encoding="utf-8")
    json_.write_text('{"turns": [{"steps": [{"text": "hi"}]}]}', encoding="utf-8")
    assert load(toml) == load(json_)


@pytest.mark.parametrize(("name", "text"), [("a.toml", "= ="), ("a.json", "{"), ("b.toml", None)])
def test_a_script_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=name):
        load(path)
