"""From the bytes of one response to the parts of one answer: reads events, accumulates, judges.

Pure, and the same however the bytes were cut on their way.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway.model import failure
from gateway.model.accumulate import Accumulator
from gateway.model.contract import Answer, Part, Request
from gateway.model.events import EventReader, EventTooLong, MessageReader

MAX_ANSWER = 64 * 1024**2
"""Bytes of one response."""


class Intake:
    """Takes one successful response.

    Args:
        endpoint: Its name, for messages.
        content_type: Of the response; a JSON body is a server that does not stream.
        new_id: Makes ids for tool calls that lack one.
        secrets: Texts that must not be in a message.
    """

    def __init__(
        self,
        endpoint: str,
        content_type: str,
        *,
        new_id: Callable[[], str],
        secrets: Iterable[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._secrets = secrets
        self._answer = Accumulator(new_id=new_id)
        whole = content_type.startswith("application/json")
        self._reader = MessageReader() if whole else EventReader()
        self._size = 0

    @property
    def ended(self) -> bool:
        """The answer is whole; whatever else comes is of no interest."""
        return self._answer.ended

    def feed(self, chunk: bytes) -> Iterator[Part]:
        """Yield what the bytes add.

        Raises:
            ModelError: The server says that it cannot go on.
            EventTooLong: The response is out of all proportion.
        """
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            raise EventTooLong(f"the answer is longer than {MAX_ANSWER} bytes")
        yield from self._take(self._reader.feed(chunk))

    def close(self) -> Iterator[Part]:
        """The bytes are over, or `ended` is true: yield what they still add."""
        if not self.ended:
            yield from self._take(self._reader.close())

    def answer(self, request: Request) -> Answer:
        """The answer.

        Raises:
            ModelError: It is not whole.
        """
        if not self._answer.complete:
            raise failure.of_connection(self._endpoint, "stopped in the middle of its answer")
        return self._answer.answer(request, self._endpoint)

    def _take(self, events: list[dict[str, Any]]) -> Iterator[Part]:
        for event in events:
            if event.get("type") == "error":
                raise failure.of_event(self._endpoint, event, self._secrets)
            yield from self._answer.take(event)
