"""The surface of the wire is the one that was looked at and agreed to."""

import difflib

from tests.wire.surface import FILE, surface


def test_the_surface_is_the_recorded_one():
    recorded = FILE.read_text(encoding="utf-8").splitlines()
    present = surface().splitlines()
    changed = "\n".join(
        difflib.unified_diff(recorded, present, "recorded", "present", "", "", 0, "")
    )
    assert not changed, f"see surface.py for what to do:\n{changed}"
