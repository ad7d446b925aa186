"""The configuration in force as people may see it: everything but the secrets."""

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.config import Config

_MASK = "**********"


def shown(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON values: keys, header values and passwords masked."""
    document = config.model_dump(mode="json")
    document["store"]["url"] = _without_password(document["store"]["url"])
    for endpoint in document["models"]["endpoints"].values():
        endpoint["base_url"] = _without_password(endpoint["base_url"])
        endpoint["headers"] = dict.fromkeys(endpoint["headers"], _MASK)
    return document


def toml(document: Mapping[str, Any], table: str = "") -> str:
    """Write JSON values as TOML; a key without a value is left out."""
    plain = {key: value for key, value in document.items() if not isinstance(value, dict)}
    lines = [
        f"{_key(key)} = {json.dumps(value)}" for key, value in plain.items() if value is not None
    ]
    text = f"\n[{table}]\n" if table else ""
    text += "".join(f"{line}\n" for line in lines)
    for key, value in document.items():
        if isinstance(value, dict):
            text += toml(value, f"{table}.{_key(key)}" if table else _key(key))
    return text


def _without_password(url: str) -> str:
    url = re.sub(r"^([^:/]+://[^:/@]*):.*@", rf"\1:{_MASK}@", url)
    return re.sub(r"(?<=[?&]password=)[^&]*", _MASK, url)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
