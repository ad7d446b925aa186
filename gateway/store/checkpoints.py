"""Checkpoints: signed statements of how far the chains of the audit trail were.

A chain that is cut off together with its head looks whole; a checkpoint that saw more says it is
not. Each names the one before, and is signed with Ed25519, so that whoever keeps an exported one
and the public key can hold the gateway to it without its secret
(docs/decisions/0010-checkpoints-are-signed-with-ed25519.md).
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import bindparam, insert, select, text, update

from gateway.store.chain import AuditRecord, canonical
from gateway.store.engine import Hot, Tx
from gateway.store.schema import audit_checkpoints, audit_heads

CHAIN = "checkpoints"
"""The chain that checkpoints are records of; they do not state where it is."""
MAX_HEADS = 500
"""Chains in one checkpoint."""

_MOVED = Hot(
    select(audit_heads.c.chain, audit_heads.c.n, audit_heads.c.mac)
    .where(audit_heads.c.n > audit_heads.c.signed, audit_heads.c.chain != bindparam("but"))
    .suffix_with(text("LIMIT :most"))
)
_LAST = Hot(text("SELECT n, body, signature FROM audit_checkpoints ORDER BY n DESC LIMIT 1"))
_SIGNED = Hot(
    update(audit_heads)
    .where(audit_heads.c.chain == bindparam("of"))
    .values(signed=bindparam("seen"))
)


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Signs checkpoints, with a key that follows from the key of the chains."""

    _key: Ed25519PrivateKey

    @classmethod
    def of(cls, key: bytes) -> Self:
        seed = hmac.digest(key, b"the signature of checkpoints", "sha256")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that anyone may have."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, body: bytes) -> bytes:
        return self._key.sign(body)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One statement.

    ``n`` counts from 1, ``previous`` is the digest of the one before, ``heads`` gives number and
    code by chain.
    """

    statement: Mapping[str, Any]
    signature: bytes

    def record(self, id: str, signer: Signer) -> AuditRecord:  # noqa: A002 - the wire's word
        """The statement as a record of the trail."""
        return AuditRecord(
            id=id,
            at=self.statement["at"],
            kind="checkpoint",
            workspace=None,
            session=None,
            event=None,
            actor=None,
            tool=None,
            outcome=None,
            body={
                "statement": dict(self.statement),
                "signature": self.signature.hex(),
                "public_key": signer.public_key.hex(),
            },
        )


def make(tx: Tx, signer: Signer, now: int) -> Checkpoint | None:
    """Write the next checkpoint; None if no chain moved since the last one."""
    heads = tx.run(_MOVED, {"but": CHAIN, "most": MAX_HEADS}).fetchall()
    if not heads:
        return None
    last = tx.run(_LAST, {}).fetchone()
    statement = {
        "n": last[0] + 1 if last else 1,
        "at": now,
        "previous": digest(last[1], last[2]) if last else "",
        "heads": {chain: [n, code.hex()] for chain, n, code in heads},
    }
    body = canonical(statement)
    signature = signer.sign(body)
    row = {"n": statement["n"], "at": now, "body": body, "signature": signature}
    tx.execute(insert(audit_checkpoints).values(row))
    # A chain that moves at this moment stays unsigned beyond what was read, for the next one.
    tx.run_many(_SIGNED, [{"of": chain, "seen": n} for chain, n, _ in heads])
    return Checkpoint(statement, signature)


def digest(body: bytes, signature: bytes) -> str:
    """What the next checkpoint names this one by."""
    return hashlib.sha256(body + signature).hexdigest()


def is_signed(public_key: bytes, body: bytes, signature: bytes) -> bool:
    """Whether the holder of the private key signed these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True


def claims(statement: Mapping[str, Any]) -> Iterator[tuple[str, int, bytes]]:
    """Yield chain, number and code of each head that a statement names."""
    for chain, (n, code) in statement["heads"].items():
        yield chain, n, bytes.fromhex(code)
