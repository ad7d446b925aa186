"""Attempts to get out of a sandbox, and how each has to end, whoever runs the gateway.

The attempts are in ``attempts.py`` and what they have to answer in ``probes.toml``; they run in one
sandbox of a gateway that is a process of its own (``outpost.py``). A column is a driver and who
runs it; to add one, say here how, and mark it proved in the data.
"""

import json
import re
import subprocess
from collections.abc import Generator
from typing import Any

import pytest

from tests.sandbox.abuse.catalogue import COLUMNS, HERE, PROBES, Probe
from tests.sandbox.outpost import names_in
from tests.sandbox.places import IS_ROOT, PLAIN_USER, command_as, data_directory, environment

CANARY = "canary-3f1c9a"
HOW = {
    "bubblewrap-root": ("bubblewrap", "root"),
    "bubblewrap-user": ("bubblewrap", "user"),
    "docker-runc": ("docker", "root"),
}
"""Column -> the driver in ``outpost.py``, and who runs it."""
ASKED = [(probe, attempt) for probe in PROBES for attempt in probe.answers]


@pytest.fixture(scope="module", params=HOW)
def report(request: pytest.FixtureRequest) -> Generator[dict[str, Any]]:
    """What a gateway of that kind found out."""
    driver, who = HOW[request.param]
    variables = {"WHARFKEEP_SECRET": CANARY}
    if driver == "docker":
        engine: Any = request.getfixturevalue("container_engine")
        variables |= {"DOCKER_HOST": engine.address, "IMAGE": engine.image}
    if who == "root" and not IS_ROOT:
        pytest.skip("only root can be root")
    owner = PLAIN_USER if who == "user" and IS_ROOT else None
    with data_directory(owner) as data_dir:
        arguments = ("attempt", driver, str(data_dir), str(HERE / "attempts.py"), CANARY[::-1])
        command = command_as(who, HERE.parent / "outpost.py", *arguments)
        if command is None:
            pytest.skip("no Python at hand that another user can run")
        done = subprocess.run(
            command,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        if "unavailable" in found:
            pytest.skip(found["unavailable"])
        yield {"column": request.param, **found}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("probe", "attempt"), ASKED, ids=[f"{probe.number}-{attempt}" for probe, attempt in ASKED]
)
def test_no_attempt_leads_out(report: dict[str, Any], probe: Probe, attempt: str):
    if probe.limit is not None and report["limits"][probe.limit] == "none":
        assert report["column"] in probe.open  # and the driver said so
        return
    pattern = probe.expected(report["column"])[attempt]
    answer = report["answers"].get(attempt, "dies")
    assert re.fullmatch(pattern, answer), answer


@pytest.mark.timeout(240)
def test_root_gives_each_sandbox_a_user_of_its_own(report: dict[str, Any]):
    assert report["own_uid"] is (report["column"] != "bubblewrap-user")


def test_every_attempt_is_asked_for_by_a_probe():
    made = names_in((HERE / "attempts.py").read_text(encoding="utf-8"))
    assert {*made, "alive afterwards"} == {attempt for _, attempt in ASKED}


def test_the_columns_that_are_proved_are_the_ones_that_run():
    assert {column.name for column in COLUMNS if column.proved} == set(HOW)
