"""Secrets at rest: sealed with one key that lives beside the database and never in it.

A sealed secret is bound to the row that it belongs to: moved to another row, it does not open. The
key is a file of the data directory, made once. Gateways that share a database need the same file.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import GatewayError
from gateway.vault.keyfile import key_at

KEY = "secret.key"
"""The file in the data directory."""

_NONCE_BYTES = 12
_VERSION = b"\1"


class NotOurs(GatewayError):
    """A sealed secret was made with another key, belongs to another row, or was changed."""


@dataclass(frozen=True, slots=True, repr=False)
class Seal:
    """Seals and opens secrets with AES-256-GCM."""

    _cipher: AESGCM

    @classmethod
    def at(cls, data_dir: Path) -> Self:
        """The seal of a data directory; its key is made if there is none.

        Raises:
            StartError: The key cannot be read or made, or is none, or others may read it.
        """
        return cls(AESGCM(key_at(data_dir / KEY)))

    def close(self, secret: str, *, row: str) -> bytes:
        """Seal a secret for the row named `row`: its table and its key, as in ``tokens/ID``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret.encode(), row.encode())

    def open(self, sealed: bytes, *, row: str) -> str:
        """The secret that was sealed for that row.

        Raises:
            NotOurs: It was not, or not with this key.
        """
        version, nonce = sealed[:1], sealed[1 : 1 + _NONCE_BYTES]
        if version != _VERSION or len(nonce) != _NONCE_BYTES:
            raise NotOurs("not a sealed secret")
        try:
            return self._cipher.decrypt(nonce, sealed[1 + _NONCE_BYTES :], row.encode()).decode()
        except InvalidTag as error:
            raise NotOurs(f"the secret does not open with this data directory's {KEY}") from error
