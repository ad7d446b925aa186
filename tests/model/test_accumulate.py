"""What comes of events that good and bad servers send; every stream is bytes, cut anywhere."""

import contextlib
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.contract import (
    Answer,
    ModelError,
    Part,
    Request,
    TextDelta,
    Thinking,
    ToolStart,
)
from gateway.model.intake import Intake
from tests.model.endpoint import block, end, event, start, stream, text, tool

REQUEST = Request(
    model="m", system="Be brief.", messages=[{"role": "user", "content": "Hello?"}], tools=[]
)


def read(*chunks: bytes) -> tuple[list[Part], Answer]:
    numbers = itertools.count(1)
    intake = Intake("local", "text/event-stream", new_id=lambda: f"toolu_new{next(numbers)}")
    parts = [part for chunk in chunks for part in intake.feed(chunk)]
    parts += intake.close()
    return parts, intake.answer(REQUEST)


def delta(index: int, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta=fields)


def begin(index: int, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block=fields)


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
inputs = st.dictionaries(words, st.integers() | words | st.none(), max_size=3)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    """An answer's blocks, and a stream that says them."""
    wanted: list[dict[str, Any]] = []
    said: list[bytes] = []
    for index in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "thinking", "tool_use"]))
        if kind == "tool_use":
            value = draw(inputs)
            raw = json.dumps(value, ensure_ascii=draw(st.booleans()))
            at = draw(st.integers(0, len(raw)))
            wanted.append({"type": kind, "id": f"t{index}", "name": "bash", "input": value})
            said.append(tool([raw[:at], raw[at:]], index=index, id_=f"t{index}"))
            continue
        pieces = draw(st.lists(words, min_size=1, max_size=4))
        wanted.append({"type": kind, kind: "".join(pieces)})
        deltas = [{"type": f"{kind}_delta", kind: piece} for piece in pieces]
        said.append(block(index, {"type": kind, kind: ""}, *deltas))
    return wanted, stream(*said)


@settings(deadline=None)  # the machine may be busy
@given(answer=blocks(), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_however_the_bytes_are_cut_the_answer_is_the_same(
    answer: tuple[list[dict[str, Any]], bytes], cuts: Sequence[int]
) -> None:
    wanted, raw = answer
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    parts, got = read(*(raw[a:b] for a, b in itertools.pairwise(edges)))
    assert got.content == wanted
    assert not got.broken_tools

    texts = [block["text"] for block in wanted if block["type"] == "text"]
    heard: dict[int, str] = {}
    for part in parts:
        if isinstance(part, TextDelta):
            heard[part.index] = heard.get(part.index, "") + part.text
    assert list(heard) == list(range(len(texts))), "indices are contiguous from 0"
    assert list(heard.values()) == texts


@settings(deadline=None)  # the machine may be busy
@given(raw=st.binary(max_size=300), cut=st.integers(0, 300))
def test_no_bytes_whatever_break_the_reader(raw: bytes, cut: int) -> None:
    with contextlib.suppress(ModelError):
        read(start(), raw[:cut], raw[cut:], end())


kinds = st.sampled_from(["text", "thinking", "tool_use", "server_tool_use", "new", "", 7, None])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
fields = dict.fromkeys(("text", "id", "name", "input", "thinking"), json_values)
delta_fields = dict.fromkeys(("text", "partial_json", "thinking", "signature"), words | json_values)
delta_kinds = ("text_delta", "input_json_delta", "thinking_delta", "signature_delta", "new_delta")
wild = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("content_block_start"),
            "index": st.integers(0, 2) | json_values,
            "content_block": st.fixed_dictionaries({"type": kinds}, optional=fields),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("content_block_delta"),
            "index": st.integers(0, 2),
            "delta": st.fixed_dictionaries(
                {"type": st.sampled_from(delta_kinds)}, optional=delta_fields
            ),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("message_delta"), "delta": json_values, "usage": json_values}
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["ping", "message_start", "weather"])}),
)


@settings(deadline=None)  # the machine may be busy
@given(events=st.lists(wild, max_size=12))
def test_any_events_make_an_answer_that_keeps_its_promises(events: list[dict[str, Any]]) -> None:
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    parts, answer = read(raw, end(None))
    texts = [block["text"] for block in answer.content if block["type"] == "text"]
    assert all(texts)
    heard: dict[int, str] = {}
    for part in parts:
        if isinstance(part, TextDelta):
            heard[part.index] = heard.get(part.index, "") + part.text
    assert [heard[index] for index in range(len(heard))] == texts
    calls = [block for block in answer.content if block["type"] == "tool_use"]
    assert len({call["id"] for call in calls}) == len(calls)
    assert all(isinstance(call["input"], dict) for call in calls)
    assert answer.broken_tools <= {call["id"] for call in calls}
    thoughts = [b for b in answer.content if b["type"] in ("thinking", "redacted_thinking")]
    assert [p.index for p in parts if isinstance(p, Thinking)] == list(range(len(thoughts)))
    assert answer.stop_reason == ("tool_use" if calls else "end_turn")


def test_a_thinking_block_without_a_signature_is_kept_as_it_came() -> None:
    raw = block(
        0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "?"}
    )
    _, answer = read(stream(raw, text("Hi", index=1)))
    assert answer.content[0] == {"type": "thinking", "thinking": "?"}


@pytest.mark.parametrize("pieces", [[], [""], ["", " "], ["null"]])
def test_empty_tool_json_is_an_empty_input(pieces: list[str]) -> None:
    _, answer = read(stream(tool(pieces), stop_reason="tool_use"))
    assert answer.content[0]["input"] == {}
    assert not answer.broken_tools


@pytest.mark.parametrize(
    "raw", ['{"command": "l', "[1]", '"ls"', "NaN", '{"a": NaN}', "[" * 100_000]
)
def test_tool_json_that_is_no_object_is_broken_and_empty(raw: str) -> None:
    _, answer = read(stream(tool([raw]), stop_reason="tool_use"))
    assert answer.content[0]["input"] == {}
    assert answer.broken_tools == {"toolu_1"}


def test_a_tool_input_given_whole_at_the_start_is_taken() -> None:
    start_ = {"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}}
    _, answer = read(stream(block(0, start_)))
    assert answer.content == [start_]
    assert answer.stop_reason == "tool_use", "whatever the server says"


def test_text_after_a_tool_call_keeps_its_place() -> None:
    parts, answer = read(stream(text("a"), tool(["{}"], index=1), text("b", index=2)))
    assert [block["type"] for block in answer.content] == ["text", "tool_use", "text"]
    assert parts == [TextDelta(0, "a"), ToolStart("toolu_1", "bash"), TextDelta(1, "b")]


def test_blocks_that_share_an_index_stay_apart() -> None:
    _, answer = read(stream(text("a"), tool(['{"x": 1}'], index=0), text("b")))
    assert answer.content == [
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"x": 1}},
        {"type": "text", "text": "b"},
    ]


def test_deltas_under_a_wrong_index_find_the_block_of_their_kind() -> None:
    raw = [
        begin(0, type="text", text=""),
        begin(1, type="tool_use", id="t1", name="bash", input={}),
        delta(1, type="text_delta", text="Hi"),
        delta(0, type="input_json_delta", partial_json='{"x": 1}'),
        delta(7, type="text_delta", text=" you"),
    ]
    _, answer = read(stream(*raw, stop_reason="tool_use"))
    assert {"type": "text", "text": "Hi you"} in answer.content
    assert {"type": "tool_use", "id": "t1", "name": "bash", "input": {"x": 1}} in answer.content


def test_deltas_without_a_block_make_one() -> None:
    raw = [
        delta(0, type="thinking_delta", thinking="Hm"),
        delta(1, type="text_delta", text="Hi"),
        delta(2, type="input_json_delta", partial_json="{}"),
    ]
    parts, answer = read(stream(*raw))
    assert answer.content == [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "text", "text": "Hi"},
    ]
    assert parts == [Thinking(0), TextDelta(0, "Hi")]


def test_tool_calls_without_an_id_or_with_a_used_one_get_their_own() -> None:
    again = tool(["{}"], index=1, id_="t1")
    nameless = block(2, {"type": "tool_use"})
    _, answer = read(stream(tool(["{}"], id_="t1"), again, nameless, stop_reason="tool_use"))
    assert [block["id"] for block in answer.content] == ["t1", "toolu_new1", "toolu_new2"]
    assert answer.content[2] == {"type": "tool_use", "id": "toolu_new2", "name": "", "input": {}}


def test_unknown_blocks_are_kept_as_they_came() -> None:
    odd = {"type": "hologram", "data": {"depth": 3}}
    _, answer = read(stream(block(0, odd, {"type": "hologram_delta", "data": "x"}), text("Hi")))
    assert answer.content[0] == odd


def test_a_servers_own_tools_keep_input_and_result() -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    asked = {"type": "input_json_delta", "partial_json": '{"query": "tides"}'}
    _, answer = read(stream(block(0, use, asked), block(1, result), text("High", index=2)))
    assert answer.content[0]["input"] == {"query": "tides"}
    assert answer.content[1] == result
    assert answer.stop_reason == "end_turn"


def test_citations_stay_with_their_text() -> None:
    cited = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}}
    raw = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "x"}, cited)
    _, answer = read(stream(raw))
    assert answer.content[0]["citations"] == [{"type": "char_location", "cited_text": "x"}]


def test_half_a_surrogate_pair_becomes_text_that_can_be_written() -> None:
    _, answer = read(
        stream(text("broken \ud800 pair, whole \U0001f600"), tool(['{"a": "\\ud800"}'], index=1))
    )
    json.dumps(answer.content, ensure_ascii=False).encode()
    assert answer.content[0]["text"].endswith("whole \U0001f600")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, "end_turn"),
        ("stop", "end_turn"),
        ("tool_use", "end_turn"),
        ("length", "max_tokens"),
        ("max_tokens", "max_tokens"),
        ("pause_turn", "pause_turn"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("stop_sequence", "stop_sequence"),
    ],
)
def test_stop_reasons_are_the_known_ones(said: str | None, meant: str) -> None:
    assert read(stream(text("Hi"), stop_reason=said))[1].stop_reason == meant


def test_a_refusal_brings_its_details() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    stop = event("message_delta", delta={"stop_reason": "refusal", "stop_details": details})
    _, answer = read(start(), stop, event("message_stop"))
    assert (answer.stop_reason, answer.stop_details, answer.content) == ("refusal", details, [])


def test_an_answer_with_a_stop_reason_is_whole_without_the_last_event() -> None:
    stop = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    assert read(start(), text("Hi"), stop)[1].content[0]["text"] == "Hi"


def test_the_last_event_may_lack_its_empty_line() -> None:
    assert read(start(), text("Hi"), end().rstrip(b"\n"))[1].stop_reason == "end_turn"


def test_lines_may_end_with_carriage_returns() -> None:
    raw = stream(text("Hi")).replace(b"\n", b"\r\n")
    assert read(raw[:40], raw[40:])[1].content[0]["text"] == "Hi"


def test_cached_tokens_are_counted_apart() -> None:
    counts: dict[str, Any] = {
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }
    usage = read(stream(text("Hi"), **counts))[1].usage
    assert usage.input_tokens == 10
    assert usage.cache_read_input_tokens == 100
    assert (usage.cache_creation_5m, usage.cache_creation_1h) == (20, 10)
    assert (usage.web_search_requests, usage.web_fetch_requests) == (2, 1)
    assert usage.prompt_tokens == 140


def test_created_cache_without_a_breakdown_is_the_short_one() -> None:
    usage = read(stream(text("Hi"), cache_creation_input_tokens=30))[1].usage
    assert (usage.cache_creation_5m, usage.cache_creation_1h) == (30, 0)


def test_counts_may_come_only_at_the_end() -> None:
    raw = [event("message_start", message={}), text("Hi"), end(input_tokens=44)]
    usage = read(*raw)[1].usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (44, 7, False)


def test_missing_counts_are_estimated_and_said_to_be() -> None:
    stop = event("message_delta", delta={"stop_reason": "end_turn"})
    usage = read(event("message_start", message={}), text("Hello " * 50), stop)[1].usage
    assert usage.estimated
    assert 60 < usage.output_tokens < 120
    assert usage.input_tokens > 0
    assert usage.speed is None


@pytest.mark.parametrize("nonsense", [-3, True, "many", None, [1], 2.5])
def test_nonsense_counts_nothing(nonsense: object) -> None:
    usage = read(stream(text("Hi"), cache_read_input_tokens=nonsense))[1].usage
    assert usage.cache_read_input_tokens == 0
