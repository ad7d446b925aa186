"""Exported records, read again to hold the trail to them: what it said once it must still say."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.store.chain import Break, canonical
from gateway.store.checkpoints import CHAIN, claims, is_signed

_BATCH = 500


def read_claims(
    lines: Iterable[bytes], public_key: bytes
) -> Iterator[tuple[list[tuple[str, int, bytes]], list[Break]]]:
    """Yield, some lines at a time, which codes the trail must have where, and what is no record.

    A line is a record as ``wharfkeep audit export`` writes it or as it was delivered. A checkpoint
    also claims what it states, if its signature is that of `public_key`.
    """
    found: list[tuple[str, int, bytes]] = []
    breaks: list[Break] = []
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            chain, n, code, body = _place(told)
            found.append((chain, n, code))
            if chain == CHAIN:
                found += _read_checkpoint(body, public_key)
        except (ValueError, LookupError, TypeError, AttributeError):
            breaks.append(Break("the file", number, f"line {number} is no record of this trail"))
        if len(found) >= _BATCH:
            yield found, breaks
            found, breaks = [], []
    yield found, breaks


def _place(told: Any) -> tuple[str, int, bytes, dict[str, Any]]:
    """Chain, number, code and body of one line."""
    if "attestation_list" not in told:
        return told["chain"], told["n"], bytes.fromhex(told["mac"]), told["body"]
    attestation = told["attestation_list"][0]
    code = bytes.fromhex(attestation["fingerprint"]["value"])
    body = json.loads(told["raw_data"])["body"]
    return attestation["chain_uid"], told["metadata"]["sequence"], code, body


def _read_checkpoint(body: dict[str, Any], public_key: bytes) -> list[tuple[str, int, bytes]]:
    statement = body["statement"]
    if not is_signed(public_key, canonical(statement), bytes.fromhex(body["signature"])):
        raise ValueError("somebody else's checkpoint")
    return list(claims(statement))
