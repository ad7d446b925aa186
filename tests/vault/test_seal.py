"""Secrets are sealed for one row, with one key."""

from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.vault.seal import KEY, NotOurs, Seal

ROW = "repositories/sesrsc_1"


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal.at(tmp_path)


def test_what_is_sealed_opens_for_its_row(seal: Seal):
    sealed = seal.close("a s\u00e9cret", row=ROW)
    assert seal.open(sealed, row=ROW) == "a s\u00e9cret"
    assert b"cret" not in sealed
    assert seal.close("a s\u00e9cret", row=ROW) != sealed


def test_it_opens_for_no_other_row(seal: Seal):
    with pytest.raises(NotOurs):
        seal.open(seal.close("secret", row=ROW), row=f"{ROW}0")


@pytest.mark.parametrize("position", [0, 1, 12, 13, -1])
def test_a_changed_byte_is_noticed(seal: Seal, position: int):
    sealed = bytearray(seal.close("secret", row=ROW))
    sealed[position] ^= 1
    with pytest.raises(NotOurs):
        seal.open(bytes(sealed), row=ROW)


@pytest.mark.parametrize("sealed", [b"", b"\1", b"\1" + bytes(12), b"plain text in a column"])
def test_what_is_not_sealed_is_refused(seal: Seal, sealed: bytes):
    with pytest.raises(NotOurs):
        seal.open(sealed, row=ROW)


def test_the_key_is_made_once_and_for_its_owner_only(seal: Seal, tmp_path: Path):
    place = tmp_path / KEY
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY]
    again = Seal.at(tmp_path)
    assert again.open(seal.close("secret", row=ROW), row=ROW) == "secret"


def test_another_key_opens_nothing(seal: Seal, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(NotOurs, match=KEY):
        Seal.at(other).open(seal.close("secret", row=ROW), row=ROW)


def test_a_key_that_is_none_is_never_replaced(tmp_path: Path):
    place = tmp_path / KEY
    place.write_bytes(b"short")
    place.chmod(0o600)
    with pytest.raises(StartError, match="not a key"):
        Seal.at(tmp_path)
    assert place.read_bytes() == b"short"


def test_a_key_that_others_may_read_is_refused(seal: Seal, tmp_path: Path):
    assert seal
    (tmp_path / KEY).chmod(0o640)
    with pytest.raises(StartError, match="chmod 600"):
        Seal.at(tmp_path)


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path):
    with pytest.raises(StartError, match="nowhere"):
        Seal.at(tmp_path / "nowhere")


def test_nothing_of_the_key_is_in_its_representation(seal: Seal):
    assert "AESGCM" not in repr(seal)
