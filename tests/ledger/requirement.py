"""What one promise of the wire looks like, and how a test says that it proves one.

A promise stands once, in the file of its resource in this folder. A test cites it with
``@requirement("agents:update:stale-version")``; `test_ledger.py` holds the two together.
"""

from dataclasses import dataclass

import pytest

requirement = pytest.mark.requirement
"""Marks a test as the proof of one or more requirements, by their ids."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promised behaviour.

    Args:
        id: ``area:feature:variant``, never reused.
        source: Where it is promised, as in the specification: ``core 2.5``, ``resources E-4``.
        behaviour: One sentence about what a client sees.
        divergence: How and why we differ from it on purpose.
        deferred: Why it is not there yet; such a requirement needs no test.
    """

    id: str
    source: str
    behaviour: str
    divergence: str | None = None
    deferred: str | None = None
