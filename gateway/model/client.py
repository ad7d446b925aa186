"""A model behind an endpoint of the Messages API. The only user of the SDK's client.

The SDK sends and authenticates; its retries are off, because a retry is an event of the session
(spec/core 8.3), and its typed stream is not used: raw events and our own accumulator take a third
less time and survive what other servers send. It takes a second to import, so that happens in a
thread, at the first request or in `warm`.
"""

import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from pydantic_core import PydanticSerializationError, to_json

from gateway.clock import Clock
from gateway.model import body, failure
from gateway.model.contract import Capabilities, ModelError, Part, Request
from gateway.model.endpoints import Endpoints, Route, custom_headers, is_self
from gateway.model.events import EventTooLong
from gateway.model.intake import Intake
from gateway.settings import Models

if TYPE_CHECKING:
    import anthropic
    import httpx2

__all__ = ["MessagesClient", "is_self"]

_DRAIN_SECONDS = 0.25
"""How long the end of a finished stream is awaited, so that its connection can be used again."""
_CLOSE_SECONDS = 1.0
_NO_ENDPOINT = (
    "No model endpoint is configured: set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL for a server "
    "other than Anthropic's), or add [models.endpoints.NAME] to the configuration."
)


class MessagesClient:
    """Asks whichever endpoint serves a model.

    Args:
        models: Endpoints, patience and prices; only the first two are used.
        listen: Where this gateway itself listens; no endpoint may be there.
        clock: For ids of tool calls that came without one, and for dates in `retry-after`.
        environ: Where the SDK's variables are read; the process's own environment by default.

    Raises:
        ConfigError: An endpoint cannot be used as it is configured.
    """

    def __init__(
        self,
        models: Models,
        *,
        listen: str,
        clock: Clock,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._models = models
        self._clock = clock
        environ = os.environ if environ is None else environ
        self._endpoints = Endpoints(models, listen=listen, environ=environ)
        self._clients: dict[str, anthropic.AsyncAnthropic] = {}

    async def warm(self) -> None:
        """Import what the first request needs, without holding up anything else."""
        await anyio.to_thread.run_sync(_load)

    async def aclose(self) -> None:
        """Close every connection; the client can be used again."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    def capabilities(self, model: str) -> Capabilities:
        return self._endpoints.capabilities(model)

    async def stream(self, request: Request) -> AsyncGenerator[Part, None]:
        """Ask; see `gateway.model.contract.Model`.

        Raises:
            ModelError: There is no answer.
        """
        route = self._route(request.model)
        client = await self._client(route)
        with self._translated(route):
            response = await self._send(client, route, request)
            intake = Intake(
                route.name,
                response.headers.get("content-type", ""),
                new_id=lambda: self._clock.new_id("toolu"),
                secrets=route.secrets,
            )
            chunks: Any = response.aiter_bytes()
            try:
                async for chunk in chunks:
                    for part in intake.feed(chunk):
                        yield part
                    if intake.ended:
                        break
                for part in intake.close():
                    yield part
                yield intake.answer(request)
            finally:
                await _close(response, chunks, drain=intake.ended)

    def _route(self, model: str) -> Route:
        route = self._endpoints.route(model)
        if route is not None:
            return route
        if not self._endpoints:
            raise ModelError("billing", _NO_ENDPOINT, retryable=False)
        raise ModelError(
            "request_failed", f"No configured endpoint serves the model {model!r}.", retryable=False
        )

    async def _client(self, route: Route) -> "anthropic.AsyncAnthropic":
        if route.name not in self._clients:
            await self.warm()
        if route.name not in self._clients:  # another request may have come first meanwhile
            self._clients[route.name] = _connect(route, self._models)
        return self._clients[route.name]

    async def _send(
        self, client: "anthropic.AsyncAnthropic", route: Route, request: Request
    ) -> "httpx2.Response":
        from anthropic import AsyncStream

        made = body.build(request, self._endpoints.capabilities(request.model))
        headers = {**_headers(route), **body.headers(request), "content-type": "application/json"}
        # Finished bytes, because the SDK copies a body that it has to encode message by message.
        stream: Any = await client.post(
            "/v1/messages",
            cast_to=object,
            content=to_json(made),
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return stream.response

    @contextmanager
    def _translated(self, route: Route) -> Generator[None]:
        """Whatever the SDK and what is below it raise leaves as a `ModelError`."""
        import aiohttp
        import anthropic
        import httpx2

        try:
            yield
        except anthropic.APIStatusError as error:
            raise failure.of_status(
                route.name,
                error.status_code,
                error.response.content,
                {key.lower(): value for key, value in error.response.headers.items()},
                now=self._clock.now() / 1e6,
                secrets=route.secrets,
            ) from error
        except (anthropic.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError) as error:
            raise failure.of_connection(route.name, self._reason(error)) from error
        except EventTooLong as error:
            raise ModelError("request_failed", f"{error}.", retryable=False) from error
        except PydanticSerializationError as error:
            message = "The conversation holds text that is not Unicode and cannot be sent."
            raise ModelError("request_failed", message, retryable=False) from error

    def _reason(self, error: Exception) -> str:
        import httpx2

        # The SDK wraps what its transport raises, and raises it bare once the stream has begun.
        cause = error if isinstance(error, httpx2.HTTPError) else error.__cause__
        if isinstance(cause, httpx2.ReadTimeout | httpx2.WriteTimeout):
            return f"was silent for {self._models.silence_seconds:g} seconds"
        if isinstance(cause, httpx2.TimeoutException):
            return f"did not accept a connection in {self._models.connect_seconds:g} seconds"
        if isinstance(cause, httpx2.ConnectError):
            return "cannot be reached"
        return "broke the connection in the middle of its answer"


def _load() -> None:
    for name in ("aiohttp", "httpx2", "anthropic", "anthropic.resources.messages"):
        import_module(name)


def _connect(route: Route, models: Models) -> "anthropic.AsyncAnthropic":
    import anthropic
    import httpx2

    timeout = httpx2.Timeout(
        connect=models.connect_seconds,
        pool=models.connect_seconds,
        read=models.silence_seconds,
        write=models.silence_seconds,
    )
    # A key is always given, so that the SDK looks for none in its environment or its profiles.
    by_sdk = route.credential == "sdk"
    return anthropic.AsyncAnthropic(
        api_key=route.key if by_sdk else None,
        auth_token=None if by_sdk else route.key or "-",
        base_url=route.base_url,
        max_retries=0,
        timeout=timeout,
        # A redirect would carry the key to a host nobody configured.
        http_client=anthropic.DefaultAioHttpClient(timeout=timeout, follow_redirects=False),
        open_telemetry=False,
    )


def _headers(route: Route) -> "dict[str, str | anthropic.Omit]":
    """The route's own headers, and none that the SDK would add from the process's environment."""
    from anthropic import Omit

    headers: dict[str, str | Omit] = {name: Omit() for name in custom_headers(os.environ)}
    if route.key is None or route.credential == "x-api-key":
        headers["Authorization"] = Omit()
    own = {name.lower() for name in route.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    if route.key is not None and route.credential == "x-api-key":
        headers["X-Api-Key"] = route.key
    return {**headers, **route.headers}


async def _close(
    response: "httpx2.Response", chunks: AsyncGenerator[bytes, None], *, drain: bool
) -> None:
    """Give the connection back if the answer came to its end, else break it off."""
    import aiohttp
    import httpx2

    with suppress(httpx2.HTTPError, aiohttp.ClientError):
        if drain:
            with anyio.move_on_after(_DRAIN_SECONDS):
                async for _ in chunks:
                    pass
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await chunks.aclose()
            await response.aclose()
