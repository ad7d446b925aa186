"""What to do about a machine on which bubblewrap does not work."""

from pathlib import Path

import pytest

from sandbox import diagnosis


@pytest.mark.parametrize(
    ("file", "value", "remedy"),
    [
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_forbidding_sysctl_is_named_with_the_value_it_needs(
    tmp_path: Path, file: str, value: str, remedy: str
):
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"{value}\n")
    told = diagnosis.explain("bwrap: setting up uid map: Permission denied\n", sysctls=tmp_path)
    assert remedy in told
    assert "Permission denied" in told


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("bwrap: Creating new namespace failed: Operation not permitted", "container"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "container"),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer"),
        ("bwrap: execvp /usr/bin/python3: No such file or directory", "install python3"),
        ("", "it said nothing"),
    ],
)
def test_a_complaint_is_answered_in_one_line(tmp_path: Path, complaint: str, remedy: str):
    told = diagnosis.explain(complaint, sysctls=tmp_path)
    assert remedy in told
    assert "\n" not in told


@pytest.mark.parametrize("version", ["bubblewrap 0.8.0", "bubblewrap 0.11.2", "bubblewrap 1.0"])
def test_a_new_enough_version_is_taken(version: str):
    assert diagnosis.too_old(version) is None


@pytest.mark.parametrize("version", ["bubblewrap 0.4.1", "bubblewrap 0.7", "", "busybox"])
def test_an_old_or_unknown_version_is_not(version: str):
    assert "install" in str(diagnosis.too_old(version))
