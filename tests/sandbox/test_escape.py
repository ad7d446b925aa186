"""Attempts to get out of a sandbox, and how each has to end, whoever runs the gateway.

The attempts are in ``probes.py``; they run in one sandbox of a gateway that is a process of its
own (``outpost.py``), started as root and as a user without rights.
"""

import json
import re
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.outpost import names_in
from tests.sandbox.places import (
    IS_ROOT,
    PLAIN_USER,
    command_as,
    data_directory,
    environment,
)

HERE = Path(__file__).parent
CANARY = "canary-3f1c9a"
WHO = ["root", "user"] if IS_ROOT else ["user"]

EXPECTED = {
    "mount": "EPERM",
    "umount": "EPERM",
    "new_mount_interface": "EPERM EPERM",
    "pivot_root": "EPERM",
    "chroot": "EPERM",
    "unshare_user": "EPERM",
    "clone_user": "EPERM",
    "clone3": "ENOSYS",
    "setns": "EPERM",
    "open_by_handle": "EPERM",
    "bpf": "EPERM",
    "io_uring": "EPERM",
    "userfaultfd": "EPERM",
    "perf": "EPERM",
    "keys": "EPERM EPERM",
    "modules": "EPERM EPERM",
    "kernel_log": "EPERM",
    "personality": "EPERM",
    "other_architecture": "SIGSYS",
    "x32": "SIGSYS",
    "core_pattern": "EACCES|EROFS|EPERM",
    "sysrq": "EACCES|EROFS|EPERM|ENOENT",
    "kernel_memory": "EACCES|EPERM|ENOENT",
    "kernel_addresses": "zero",
    "sys": "ENOENT",
    "cgroups": "0",
    "ptrace": "EPERM",
    "process_memory": "EPERM",
    "descriptors_of_others": "EPERM",
    "kill_the_first_process": "it lives",
    "visible_processes": "True",
    "canary": "absent",
    "inherited_descriptors": r"\[\]",
    "descriptors_of_the_first_process": r"\[\]",
    "executables": "(EROFS|ETXTBSY|EACCES|EPERM) (EROFS|ETXTBSY|EACCES|EPERM)",
    "status": "True",
    "become_root": "(EINVAL|EPERM) (EINVAL|EPERM) (EINVAL|EPERM)",
    "setuid_bit": "1000",
    "workdir": "/workspace",
    "dotdot": "True",
    "system_is_read_only": "EROFS|EACCES EROFS",
    "remaining_etc": r"\[\]",
    "secrets_of_the_host": r"\[\]",
    "sockets_of_daemons": r"\['/opt/wharfkeep/gateway/socket'\]",
    "devices": r"\[\]",
    "make_device": "EPERM",
    "controlling_terminal": "ENXIO",
    "type_for_others": "EPERM EPERM",
    "socket_families": "EAFNOSUPPORT EAFNOSUPPORT EAFNOSUPPORT EPROTONOSUPPORT",
    "rare_protocols": "EPERM EPERM EPROTONOSUPPORT",
    "metadata_address": "ENETUNREACH",
    "internet": "ENETUNREACH",
    "loopback_of_the_host": "ECONNREFUSED",
    "names": "no answer",
    "abstract_sockets_of_the_host": "ECONNREFUSED",
    "interfaces": r"\['lo'\]",
    "core_dumps": r"\(0, 0\)",
    "open_files": "EMFILE True",
    "raise_limits": "refused",
    "file_size": "EFBIG",
    "memory_directories": "ENOSPC ENOSPC ENOSPC",
    "processes": "EAGAIN True",
    "memory": "SIGKILL",
    "alive afterwards": "True",
}
"""Probe -> a pattern of the one answer that is good."""

LIMIT_OF = {"processes": "processes", "memory": "memory"}
"""Probe -> the limit without which it cannot be stopped; the driver must own up to that."""


@pytest.fixture(scope="module", params=WHO)
def report(request: pytest.FixtureRequest) -> Generator[dict[str, Any]]:
    """What a gateway run by that user found out."""
    owner = PLAIN_USER if request.param == "user" and IS_ROOT else None
    with data_directory(owner) as data_dir:
        arguments = ("probe", str(data_dir), str(HERE / "probes.py"), CANARY[::-1])
        command = command_as(request.param, HERE / "outpost.py", *arguments)
        if command is None:
            pytest.skip("no Python at hand that another user can run")
        done = subprocess.run(
            command,
            env=environment(WHARFKEEP_SECRET=CANARY),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        if "unavailable" in found:
            pytest.skip(found["unavailable"])
        yield {"who": request.param, **found}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("probe", EXPECTED)
def test_no_way_leads_out(report: dict[str, Any], probe: str):
    limit = LIMIT_OF.get(probe)
    if limit is not None and report["limits"][limit] == "none":
        assert report["who"] == "user"  # and the driver said so
        return
    assert re.fullmatch(EXPECTED[probe], report["answers"][probe]), report["answers"][probe]


def test_every_probe_has_an_expected_answer():
    probes = names_in((HERE / "probes.py").read_text())
    assert {*probes, "alive afterwards"} == set(EXPECTED)


@pytest.mark.timeout(240)
def test_root_gives_each_sandbox_a_user_of_its_own(report: dict[str, Any]):
    assert report["own_uid"] is (report["who"] == "root")
