"""The operator's settings: one TOML file, then ``WHARFKEEP_*`` variables, unknown keys refused.

Precedence, highest first: command-line flags, environment variables
(``WHARFKEEP_SERVER__LISTEN``), the file, the defaults below. A secret may be given as
``NAME_file = "/path"``. `load` raises `ConfigError` with one line that names the key.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.errors import ConfigError
from gateway.settings import (
    AuditSettings,
    Egress,
    Files,
    Log,
    Loop,
    Models,
    Packages,
    PolicySettings,
    SandboxSettings,
    Server,
    StoreSettings,
    Web,
)


def _default_data_dir() -> Path:
    """`/var/lib` for root, whose home other users cannot enter; else the XDG data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/wharfkeep")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "wharfkeep"


class Config(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="WHARFKEEP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Everything durable: the database, files, sandbox layers, the lock."""
    api_key: SecretStr | None = None
    """An API key accepted from the first start (``WHARFKEEP_API_KEY``)."""
    api_key_file: Path | None = None
    """A file that holds such a key."""
    server: Server = Server()
    store: StoreSettings = StoreSettings()
    models: Models = Models()
    loop: Loop = Loop()
    sandbox: SandboxSettings = SandboxSettings()
    files: Files = Files()
    web: Web = Web()
    egress: Egress = Egress()
    packages: Packages = Packages()
    policy: PolicySettings = PolicySettings()
    audit: AuditSettings = AuditSettings()
    log: Log = Log()

    @model_validator(mode="after")
    def _one_port(self) -> Self:
        host, _, port = self.server.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the last port
            raise ValueError("server.listen must be HOST:PORT")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(path: Path | None = None, **flags: Any) -> Config:
    """Read the configuration: `path` if given, the environment, then `flags` over both.

    Raises:
        ConfigError: The file cannot be read, or a key is unknown or out of range.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        config = Config(**document).model_copy(update=flags)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the configuration"
        raise ConfigError(f"{where}: {first['msg']}") from error
    return _with_secrets(config)


def _with_secrets(config: Config) -> Config:
    """Read the secrets that are given as files; the file wins over a value beside it."""
    changes: dict[str, Any] = {}
    if config.api_key_file is not None:
        changes["api_key"] = SecretStr(_secret("api_key_file", config.api_key_file))
    if config.store.url_file is not None:
        url = _secret("store.url_file", config.store.url_file)
        changes["store"] = config.store.model_copy(update={"url": url})
    if config.files.secret_access_key_file is not None:
        name = "files.secret_access_key_file"
        key = SecretStr(_secret(name, config.files.secret_access_key_file))
        changes["files"] = config.files.model_copy(update={"secret_access_key": key})
    if config.web.search_key_file is not None:
        key = SecretStr(_secret("web.search_key_file", config.web.search_key_file))
        changes["web"] = config.web.model_copy(update={"search_key": key})
    return config.model_copy(update=changes)


def _secret(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot read {path}: {error}") from error
