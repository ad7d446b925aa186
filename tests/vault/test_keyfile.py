"""The key of the audit trail is a file of the data directory, or the one that is configured."""

from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.vault.keyfile import AUDIT_KEY, audit_key


def test_the_key_is_made_with_the_data_directory_and_stays(tmp_path: Path):
    data_dir = tmp_path / "data"
    key = audit_key(data_dir, None)
    assert len(key) == 32
    assert (data_dir / AUDIT_KEY).stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert audit_key(data_dir, None) == key
    assert audit_key(tmp_path / "other", None) != key


def test_a_configured_key_is_used_wherever_the_data_is(tmp_path: Path):
    file = tmp_path / "shared.key"
    file.write_bytes(bytes(range(32)))
    file.chmod(0o600)
    assert audit_key(tmp_path / "data", file) == bytes(range(32))
    assert not (tmp_path / "data").exists()


def test_a_configured_key_is_never_made(tmp_path: Path):
    file = tmp_path / "shared.key"
    with pytest.raises(StartError, match=r"shared\.key \(audit\.key_file\): No such file"):
        audit_key(tmp_path, file)
    assert not file.exists()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path):
    audit_key(tmp_path, None)
    (tmp_path / AUDIT_KEY).chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        audit_key(tmp_path, None)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=AUDIT_KEY):
        audit_key(tmp_path / "file" / "data", None)
