"""What happens to every request before and after its handler."""

from functools import partial

from gateway.api import body, scopes
from gateway.api.auth import NOBODY, Keyring, Principal
from gateway.api.context import ApiCall, Gateway
from gateway.api.exchange import Exchange
from gateway.api.pace import Pace
from gateway.api.router import Endpoint, Router
from gateway.wire import betas


class Dispatch:
    """Takes an exchange to its endpoint: path, key, version, beta, handler, answer."""

    def __init__(self, gateway: Gateway, router: Router) -> None:
        self._gateway = gateway
        self._router = router
        self._keyring = Keyring(gateway.config, gateway.store, gateway.clock)
        self._pace = Pace(gateway.config.files.calls_per_minute, gateway.clock)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer the exchange, or raise the `ApiError` to answer it with."""
        endpoint, path = self._router.find(exchange.method, exchange.path)
        principal = await self._admit(endpoint, exchange)
        if endpoint.paced:
            self._pace.take(principal.workspace)
        betas.parse_version(exchange.lines(b"anthropic-version"))
        given = betas.parse_betas(exchange.lines(b"anthropic-beta"))
        if endpoint.beta is not None:
            betas.require(given, endpoint.beta, strict=self._gateway.config.server.strict_betas)
        call = ApiCall(
            workspace=principal.workspace,
            key=principal.key,
            actor=principal.actor,
            email=principal.email,
            scopes=principal.scopes,
            everywhere=principal.organization,
            organization=exchange.organization or "",
            path=path,
            query=exchange.query,
            body=partial(body.read, exchange, self._gateway.config.server.max_body),
            pieces=partial(body.pieces, exchange),
            content_type=exchange.header(b"content-type"),
            betas=given,
            ip=exchange.ip,
        )
        await exchange.answer(await endpoint.handle(self._gateway, call))

    async def _admit(self, endpoint: Endpoint, exchange: Exchange) -> Principal:
        """Whoever sent the request, who may ask for this."""
        if endpoint.public:
            return NOBODY
        try:
            principal = await self._keyring.admit(exchange)
        finally:
            if endpoint.administrative:
                exchange.workspace = None
        if endpoint.scope:
            scopes.check(principal.scopes, endpoint.scope, organization=principal.organization)
        return principal
