"""The layer read from outside while somebody inside changes it."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox import layer
from sandbox.contract import SandboxGone
from tests.sandbox.abuse.races import Treasure, flipping
from tests.sandbox.places import IS_ROOT, PLAIN_USER

OWNER = PLAIN_USER if IS_ROOT else os.geteuid()
ROUNDS = 30


@pytest.fixture
def layers(data_dir: Path) -> Path:
    data_dir.chmod(0o711)
    (data_dir / "layers").mkdir(mode=0o711)
    (data_dir / "trash").mkdir(mode=0o700)
    return data_dir / "layers"


@pytest.mark.probe(118)
def test_removing_a_layer_that_fights_back_touches_nothing_else(layers: Path, data_dir: Path):
    """No process should be left by then; if one is, the removal may fail and nothing worse."""
    treasure = Treasure(data_dir)
    for number in range(ROUNDS):
        made = layer.create(layers, f"round-{number}", OWNER)
        workspace = made.path / "workspace"
        with flipping(workspace, treasure, uid=OWNER), suppress(OSError):
            layer.remove(made.path, data_dir / "trash")
        treasure.check()
        assert not made.path.exists()
    layer.empty(data_dir / "trash")
    assert [*(data_dir / "trash").iterdir()] == []
    treasure.check()


@pytest.mark.probe(118)
def test_a_layer_whose_name_is_flipped_is_itself_or_gone(layers: Path, data_dir: Path):
    treasure = Treasure(data_dir)
    with flipping(layers, treasure):
        found = 0
        for _ in range(2000):
            with suppress(SandboxGone):
                found += layer.find(layers, "turn").uid == os.geteuid()
            with suppress(FileNotFoundError):
                layer.existing(layers)
    treasure.check()
    assert IS_ROOT or found > 0  # what belongs to root is never a layer


def test_a_removal_that_was_interrupted_is_finished_later(layers: Path, data_dir: Path):
    """What it had moved up already is in the way of nothing."""
    made = layer.create(layers, "one", OWNER)
    for name in ("moved.0", "moved.1", "moved.2/below"):
        (made.path / name).mkdir(parents=True)
        (made.path / name / "file").touch()
    (made.path / "workspace/a/b/c").mkdir(parents=True)
    layer.remove(made.path, data_dir / "trash")
    assert [*(data_dir / "trash").iterdir()] == []
