"""Recipes: what is installed how, for which wishes on which machine."""

from typing import Any

import pytest

from gateway.tools.recipe import PREFIX, Recipe, System, find_system, needs_root, write
from gateway.wire.packages import MANAGERS
from tests.ledger.requirement import requirement

BARE = System(name="bare", programs=frozenset({"python3"}), release="bookworm")
FULL = System(name="full", programs=frozenset({"python3", "npm", "go", "cargo", "gem"}))


def recipe(packages: dict[str, Any], system: System = FULL) -> Recipe:
    made = write({"type": "packages", **packages}, system, ["curl"])
    assert made is not None
    return made


def test_no_packages_need_no_recipe():
    assert write({"type": "packages", **{name: [] for name in MANAGERS}}, FULL, ["curl"]) is None


@requirement("environments:cloud:packages-order")
def test_steps_come_in_alphabetical_order():
    wishes: dict[str, Any] = {
        "pip": ["a"],
        "npm": ["b"],
        "go": ["c.d/e"],
        "gem": ["f"],
        "cargo": ["g"],
    }
    assert [step.manager for step in recipe(wishes).steps] == ["cargo", "gem", "go", "npm", "pip"]


def test_names_are_the_last_arguments_and_never_options():
    for manager, name in (("cargo", "x"), ("go", "x.y/z@v1"), ("npm", "x"), ("pip", "x")):
        argv = recipe({manager: [name]}).steps[0].argv
        assert argv[-2:] == ("--", name)


def test_go_installs_one_command_at_a_time_at_its_latest_version():
    steps = recipe({"go": ["a.b/c", "d.e/f@v1.2.3"]}).steps
    assert [step.argv[-1] for step in steps] == ["a.b/c@latest", "d.e/f@v1.2.3"]


def test_the_same_wishes_share_a_digest_and_others_do_not():
    digests = {
        recipe({"pip": ["a"]}).digest,
        recipe({"pip": ["a"], "npm": []}).digest,
        recipe({"pip": ["a==1"]}).digest,
        recipe({"npm": ["a"]}).digest,
        recipe({"pip": ["a"]}, System(name="other", programs=FULL.programs)).digest,
    }
    assert len(digests) == 4


def test_a_root_holds_what_is_named_and_what_installing_it_needs():
    made = recipe({"apt": ["jq"], "npm": ["x"]}, BARE)
    assert made.debian == ("curl", "npm", "jq")
    assert made.foreign == {"npm"}


def test_without_need_there_is_no_root():
    assert recipe({"pip": ["a"]}, BARE).debian is None
    assert recipe({"npm": ["a"]}, FULL).debian is None


def test_a_root_of_debian_12_has_a_cargo_that_works():
    assert "cargo-web" in (recipe({"cargo": ["x"]}, BARE).debian or ())


@pytest.mark.parametrize(
    ("wishes", "manager"),
    [({"apt": ["jq"], "gem": ["x"]}, "apt"), ({"gem": ["x"]}, "gem"), ({"npm": ["x"]}, "npm")],
)
def test_what_needs_a_root_first_is_named(wishes: dict[str, Any], manager: str):
    needed = needs_root(wishes, BARE)
    assert needed is not None
    assert needed[0] == manager


def test_sessions_find_everything_by_its_plain_name():
    env = recipe({"pip": ["a"], "npm": ["b"], "gem": ["c"]}).env
    first, second, *_ = env["PATH"].split(":")
    assert (first, second) == ("/home/agent/.local/bin", f"{PREFIX}/bin")
    assert env["PYTHONPATH"] == f"{PREFIX}/python"
    assert env["NODE_PATH"] == f"{PREFIX}/lib/node_modules"
    assert env["GEM_PATH"] == f"{PREFIX}/gems:"


def test_only_debian_packages_change_no_variable():
    assert recipe({"apt": ["jq"]}, BARE).env == {}


def test_this_machine_is_some_system():
    found = find_system()
    assert found.programs <= {"python3", "npm", "go", "cargo", "gem"}
    assert found.name
