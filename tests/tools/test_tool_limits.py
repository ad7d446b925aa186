"""Which limits a sandbox gets, and what the model reads of those it met."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.settings import EnvironmentLimits, SandboxSettings
from gateway.tools.breach import Bounded, tell, tell_death
from gateway.tools.limits import limits_of
from gateway.tools.result import Result, failure
from sandbox.contract import Breach, Limits, SandboxGone

SPECIAL = SandboxSettings(
    disk=5,
    environments={
        "env_1": EnvironmentLimits(memory=7, files=9),
        "builds": EnvironmentLimits(memory=8, cpus=0.5),
    },
)


def test_without_a_word_of_the_operator_limits_are_the_driver_s_defaults():
    assert limits_of(SandboxSettings()) == Limits()


def test_an_environment_that_is_not_named_has_what_every_other_has():
    assert limits_of(SPECIAL, environment="env_2", name="other") == Limits(disk=5)


def test_an_environment_has_what_is_set_for_its_name_or_its_id():
    assert limits_of(SPECIAL, environment="env_2", name="builds") == Limits(
        disk=5, memory=8, cpus=0.5
    )
    assert limits_of(SPECIAL, environment="env_1") == Limits(disk=5, memory=7, files=9)


def test_what_is_set_for_the_id_wins_over_the_name():
    both = limits_of(SPECIAL, environment="env_1", name="builds")
    assert both == Limits(disk=5, memory=7, files=9, cpus=0.5)


@pytest.mark.parametrize("line", ["memory = 0", 'disk = "much"', "cpu = 1", "processes = -1"])
def test_limits_that_make_no_sense_are_refused_at_the_start(tmp_path: Path, line: str):
    file = tmp_path / "wharfkeep.toml"
    file.write_text(f'[sandbox.environments."builds"]\n{line}\n')
    with pytest.raises(ConfigError, match=r"sandbox\.environments\.builds"):
        load(file)


@dataclass
class Place:
    """What is asked of a sandbox after a call."""

    told: list[Breach] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)

    async def breaches(self) -> Sequence[Breach]:
        return self.told


FULL = Place([Breach("disk", "disk limit of 1 GiB reached"), Breach("memory", "too much memory")])


async def test_a_call_that_met_no_limit_is_left_as_it_is():
    place: Bounded = Place()
    result = Result([{"type": "text", "text": "Too many open files"}])
    assert await tell(result, place) is result


async def test_the_limits_that_were_met_are_told_after_the_output():
    result = await tell(failure("Killed"), FULL)
    assert result.is_error
    assert result.text() == "Killed\n[disk limit of 1 GiB reached]\n[too much memory]"


async def test_a_limit_met_by_a_call_that_worked_does_not_make_it_fail():
    assert not (await tell(Result([{"type": "text", "text": "fine"}]), FULL)).is_error


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("python3: File size limit exceeded", "files of 4 GiB"),
        ("OSError: [Errno 27] File too large", "files of 4 GiB"),
        ("OSError: [Errno 24] Too many open files: 'x'", "4096 open files"),
        ("cp: error writing '/tmp/x': No space left on device", "512 MiB in /tmp"),
    ],
)
async def test_an_error_of_the_system_is_told_with_the_limit_behind_it(said: str, meant: str):
    assert meant in (await tell(failure(said), Place())).text()


async def test_what_a_sandbox_died_of_is_told():
    result = await tell_death(FULL, SandboxGone("gone"))
    assert result.is_error
    assert "too much memory" in result.text()


async def test_a_death_for_another_reason_stays_what_it_is():
    error = SandboxGone("gone")
    with pytest.raises(SandboxGone) as raised:
        await tell_death(Place(), error)
    assert raised.value is error
