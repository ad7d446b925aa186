"""Model requests of one session: asking, trying again, giving up, and making the context fit.

Every try is a span of its own (spec/core 8.2). A failure that may pass is announced, the session
is rescheduled, and the request goes out again; one that may not ends the turn (spec/core 8.3).
"""

from collections.abc import Callable
from typing import Any

import anyio
import structlog

from gateway.loop import draft
from gateway.loop.journal import Journal
from gateway.loop.scribe import Scribe
from gateway.loop.state import ThreadState
from gateway.loop.turn import Previews, receive
from gateway.model import compact, prompt, surroundings
from gateway.model.contract import Answer, Model, ModelError, Request
from gateway.settings import Models

log = structlog.get_logger()

MAX_BACKOFF = 16
"""How often the first wait may double itself, as a factor."""

_ERRORS = {
    "overloaded": "model_overloaded_error",
    "rate_limited": "model_rate_limited_error",
    "billing": "billing_error",
    "request_failed": "model_request_failed_error",
    "context_overflow": "model_request_failed_error",
}


class Requests:
    """Asks the model for one session. `interrupt` ends whatever request or wait is under way."""

    def __init__(
        self,
        journal: Journal,
        scribe: Scribe,
        *,
        model: Model,
        settings: Models,
        tools: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._journal = journal
        self._scribe = scribe
        self._model = model
        self._settings = settings
        self._tools = tools
        self._scope: anyio.CancelScope | None = None

    def interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def _interruptible(self) -> anyio.CancelScope:
        """A scope that `interrupt` ends; at once, if one came before there was a scope."""
        self._scope = anyio.CancelScope()
        if self._journal.interrupted:
            self._scope.cancel()
        return self._scope

    async def ask(self, thread: ThreadState) -> None:
        """Get the thread's next answer into the journal, or the reason why there is none."""
        previews = Previews(self._journal, thread.id)
        answer = await self.attempt(thread, self._request(thread), previews)
        if answer is None:
            return
        decided = None
        with self._interruptible():
            decided = await self._scribe.decide(thread, answer)
        self._scope = None
        if decided is not None:
            self._scribe.write(thread, answer, previews, decided)

    async def compact(self, thread: ThreadState) -> None:
        """Replace the thread's context by a summary of it (spec/core 8.4)."""
        like = self._request(thread)
        window = self._model.capabilities(like.model).max_input_tokens
        agent = self._journal.session.body["agent"]
        request = compact.request(agent, thread.messages, like=like, window=window)
        answer = await self.attempt(thread, request, None)
        if answer is None:
            return
        self._scribe.end_span(thread, answer, "compact")
        try:
            messages = compact.shortened(thread.messages, answer)
        except ModelError as error:
            self.give_up(thread, "compaction_limit_reached_error", error.message)
        else:
            self._journal.write(draft.compacted(messages), thread.id)

    def _request(self, thread: ThreadState) -> Request:
        body = self._journal.session.body
        about = surroundings.describe(body)
        return prompt.request(body["agent"], thread.messages, self._tools(), surroundings=about)

    async def attempt(
        self, thread: ThreadState, request: Request, previews: Previews | None
    ) -> Answer | None:
        """Send one request under a span of its own.

        Returns:
            The answer, with the span still open for its numbers; or None, after an interrupt or
            a failure that is already in the journal.
        """
        self._journal.write(draft.request_start(), thread.id)
        await self._journal.flush()
        try:
            with self._interruptible():
                return await receive(self._model, request, previews)
        except ModelError as error:
            await self._fail(thread, request, error)
        finally:
            self._scope = None
        return None

    async def _fail(self, thread: ThreadState, request: Request, error: ModelError) -> None:
        log.warning("model request failed", session=self._journal.id, error=error.message)
        self._scribe.fail_span(thread)
        if error.kind == "context_overflow" and thread.messages:
            await self._make_room(thread, request, error)
        elif error.retryable and thread.attempts < self._settings.attempts:
            await self._reschedule(thread, error)
        else:
            self.give_up(thread, _ERRORS[error.kind], error.message)

    async def _make_room(self, thread: ThreadState, request: Request, error: ModelError) -> None:
        # A request that is itself too long to be shortened must not be shortened again.
        if thread.compactions or request.purpose == "compact":
            self.give_up(thread, "compaction_limit_reached_error", error.message)
        else:
            await self.compact(thread)

    async def _reschedule(self, thread: ThreadState, error: ModelError) -> None:
        journal = self._journal
        agent = journal.session.body["agent"]["name"]
        journal.write(draft.error(_ERRORS[error.kind], error.message, "retrying"))
        journal.write(draft.session_rescheduled())
        journal.write(draft.thread_rescheduled(thread.id, agent), thread.id)
        await journal.flush()
        with self._interruptible():
            await anyio.sleep(self._delay(thread.attempts, error.retry_after))
        self._scope = None

    def _delay(self, attempts: int, retry_after: float | None) -> float:
        factor = min(2 ** (attempts - 1), MAX_BACKOFF)
        return max(self._settings.backoff_seconds * factor, retry_after or 0)

    def give_up(self, thread: ThreadState, kind: str, message: str) -> None:
        """End the turn; what was queued goes into the conversation unanswered (spec/core 8.3)."""
        self._journal.write(draft.error(kind, message, "exhausted"), thread.id)
        self._journal.consume(self._journal.inputs)
        thread.owes_answer = False
