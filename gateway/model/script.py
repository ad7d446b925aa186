"""The script of a `FakeModel`: a small TOML or JSON file that says what the model answers.

    [[turns]]
    when = "prime"                  # a pattern for the user's last text; without it: by order
    on_error = "That failed."       # said, ending the turn, when a tool result is an error

    [[turns.steps]]                 # one answer of the model; the next follows the tool results
    text = "I will look."
    tools = [{name = "bash", input = {command = "ls"}}]

    [[turns.steps]]
    text = "It says: {last_result}"

    [[judgements]]                  # what it answers when a tool call is to be judged
    when = "rm -rf"                 # a pattern for the call as the judge is shown it
    verdict = "deny"

Every key a step may have is a field of `Step`. Texts and inputs may hold ``{last_result}``,
``{result_1}``, ``{result_2}`` and so on (texts of the turn's tool results, in order) and
``{last_text}`` (the user's). A conversation that was compacted begins again with a user text, which
says "summary of the conversation so far": a first turn with that pattern goes on from there. This
module reads scripts; playing them is `gateway.model.fake`.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import ConfigError

SCRIPTS = Path(__file__).parent / "scripts"
PRIMES = SCRIPTS / "primes.toml"
"""The script of the quickstart; the default of everything that runs without a model."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Tool(_Part):
    """A tool call."""

    name: str
    input: dict[str, Any] = {}
    raw: str | None = None
    """What the model writes in place of the input: for input that is not JSON."""


class Fault(_Part):
    """What goes wrong in place of an answer: exactly one of `status`, `hang` and `cut`."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """The HTTP status of the answer."""
    message: str = "scripted failure"
    retry_after: float | None = None
    hang: bool = False
    """Say nothing for as long as the gateway is patient."""
    cut: bool = False
    """Break off in the middle of the step's answer."""
    times: Annotated[int, Field(ge=0)] = 1
    """How many tries of one request fail before the step goes through; 0: all of them."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.status is not None) + self.hang + self.cut != 1:
            raise ValueError("a fault has exactly one of status, hang and cut")
        return self


class Usage(_Part):
    """Token counts to report in place of estimates."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Step(_Part):
    """One answer: thinking, then text, then tool calls."""

    thinking: str | None = None
    text: str | None = None
    tools: list[Tool] = []
    stop_reason: (
        Literal[
            "end_turn",
            "tool_use",
            "max_tokens",
            "stop_sequence",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
        ]
        | None
    ) = None
    """By default ``tool_use`` when there are tool calls, else ``end_turn``."""
    stop_details: dict[str, Any] | None = None
    usage: Usage = Usage()
    delay_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Silence before the first word."""
    fail: Fault | None = None


class _Conditional(_Part):
    when: str | None = None
    """A regular expression to find in the text that is answered, whatever its case."""

    @model_validator(mode="after")
    def _readable_pattern(self) -> Self:
        try:
            re.compile(self.when or "")
        except re.error as error:
            raise ValueError(f"when is not a regular expression: {error}") from error
        return self

    def matches(self, text: str) -> bool:
        return self.when is not None and bool(re.search(self.when, text, re.IGNORECASE))


class Turn(_Conditional):
    """The steps that follow one text of the user."""

    steps: Annotated[list[Step], Field(min_length=1)]
    on_error: str | None = None


class Judgement(_Conditional):
    """A verdict on a tool call; without a pattern, on every call."""

    verdict: Literal["allow", "deny", "ask"]
    why: str = "The script says so."


class Script(_Part):
    """A whole script."""

    name: str = "script"
    chunk_seconds: Annotated[float, Field(ge=0)] = 0.0
    """The pause between two chunks of text."""
    turns: Annotated[list[Turn], Field(min_length=1)]
    compact: Step = Step(text="A scripted model has followed its script so far.")
    """The answer when the conversation is to be summarised."""
    grade: Step = Step(text="The script has no grade to give.")
    judge: Step = Step(text="The script has no judgement to give.")
    judgements: list[Judgement] = []
    """The first that fits is the answer about a tool call; `judge` is when none does."""


def load(path: Path) -> Script:
    """Read a script; a name ending in ``.json`` is JSON, any other TOML.

    Raises:
        ConfigError: One line that names the file and, if that far, the key and the rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read the model script {path}: {error.strerror}") from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"the model script {path} is not {kind}: {error}") from error
    return parse(document, source=str(path))


def parse(document: Any, *, source: str = "the model script") -> Script:
    """Read a script that is already a table.

    Raises:
        ConfigError: One line that names the key and the rule.
    """
    try:
        return Script.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        rule = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {where}: {rule}" if where else f"{source}: {rule}") from error
