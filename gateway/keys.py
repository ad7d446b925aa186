"""What an API key looks like: made once, shown once, stored only as its SHA-256.

A key has about 238 bits of randomness, so a plain hash keeps it: there is nothing to guess and
nothing to slow down. Storing and checking keys is `gateway.store.keys` and `gateway.api.auth`.
"""

import hashlib
import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTH = 40


def new_key() -> str:
    """Return a fresh key: ``wk-`` and 40 random base62 characters."""
    return "wk-" + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key, 32 bytes: the only form that is stored."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """Return the last four characters, by which people tell keys apart."""
    return key[-4:]
