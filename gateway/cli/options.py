"""What commands share: their options, and the two ways to what they work on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.store.store import Store

T = TypeVar("T")


def address(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    host, _, port = (value or "").rpartition(":")
    if value is not None and not (host and port.isdigit() and int(port) <= 65535):  # noqa: PLR2004 - the last port
        raise click.BadParameter("must be HOST:PORT")
    return value


config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="WHARFKEEP_CONFIG",
    metavar="FILE",
    help="The configuration, a TOML file.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where everything durable is kept.",
)
url_option = click.option(
    "--url",
    default="http://127.0.0.1:8400",
    envvar="WHARFKEEP_URL",
    show_default=True,
    help="Where the gateway is.",
)
key_option = click.option("--key", envvar="WHARFKEEP_API_KEY", required=True, help="An API key.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings(file: Path | None, data_dir: Path | None, listen: str | None = None) -> "Config":
    from gateway.config import load

    config = load(file)
    changes: dict[str, Any] = {}
    if data_dir is not None:
        changes["data_dir"] = data_dir.absolute()
    if listen is not None:
        changes["server"] = config.server.model_copy(update={"listen": listen})
    return config.model_copy(update=changes)


def in_store(config: "Config", work: "Callable[[Store], Awaitable[T]]") -> T:
    """Open the store beside a running server, do one thing, close it."""
    import anyio

    from gateway.clock import SystemClock
    from gateway.store.store import open_store
    from gateway.vault.keyfile import audit_key

    async def body() -> T:
        store = await open_store(
            config.store.url,
            config.data_dir,
            clock=SystemClock(),
            serving=False,
            audit_key=audit_key(config.data_dir, config.audit.key_file),
            share_key=config.audit.key_file is None,
        )
        try:
            return await work(store)
        finally:
            await store.aclose()

    return anyio.run(body)
