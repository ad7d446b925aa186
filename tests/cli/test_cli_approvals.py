"""``wharfkeep approvals`` as somebody at a terminal uses it, against a gateway that runs."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import IO

import pytest
import structlog

from gateway.store.approvals import ApprovalRow
from tests.api.asking import Place
from tests.gateway import SECONDS, Running, serve
from tests.house.tree import ROOT


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with serve(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@dataclass(frozen=True)
class Desk:
    """Somebody with a key and a terminal."""

    place: Place
    user: str
    variables: dict[str, str]

    def run(self, *arguments: str, typed: str = "", status: int = 0) -> str:
        """What a command prints, given what is typed into it; errors last."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.variables,
            input=typed,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "gateway", "approvals", *arguments]

    def state(self, row: ApprovalRow) -> str:
        """``approved``, also when the call has run by now."""
        found = self.place.found(row).state
        return "approved" if found == "used" else found


@pytest.fixture
def desk(gateway: Running) -> Desk:
    place = Place(gateway, gateway.tenant())
    user, theirs = place.person("Ann")
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "WHARFKEEP_URL": gateway.url,
        "WHARFKEEP_API_KEY": theirs.key,
    }
    return Desk(place, user, variables)


def test_the_list_shows_what_waits_and_all_of_it_on_request(desk: Desk):
    waiting, over = desk.place.ask("user_1"), desk.place.ask("user_1")
    desk.run("deny", over.id)
    assert desk.run("list").split()[:3] == [waiting.id, "pending", "sandbox.bash"]
    assert over.id not in desk.run("list")
    found = json.loads(desk.run("list", "--all", "--json"))
    assert [(each["id"], each["state"]) for each in found] == [
        (over.id, "denied"),
        (waiting.id, "pending"),
    ]


def test_show_prints_what_is_asked_and_nothing_that_steers_the_terminal(desk: Desk):
    row = desk.place.ask("user_1", arguments={"command": "echo \x1b[2Jhidden"})
    shown = desk.run("show", row.id)
    for text in ("sandbox.bash", "writes-need-two", "not user_1", "echo \\u001b[2Jhidden"):
        assert text in shown
    assert "\x1b[2J" not in shown
    assert json.loads(desk.run("show", row.id, "--json"))["id"] == row.id


def test_a_call_is_approved_once(desk: Desk):
    row = desk.place.ask("user_1")
    assert desk.run("approve", row.id) == f"Approved {row.id}.\n"
    assert desk.place.found(row).approver == desk.user
    assert "approved already" in desk.run("approve", row.id, status=1)


def test_a_denial_tells_the_model_why(desk: Desk):
    row = desk.place.ask("user_1")
    denied = json.loads(desk.run("deny", row.id, "--message", "too much", "--json"))
    assert denied["state"] == "denied"
    assert desk.place.answers(row) == [("deny", "too much")]


def test_the_acting_user_hears_why_they_cannot_approve(desk: Desk):
    row = desk.place.ask(desk.user)
    assert "another person" in desk.run("approve", row.id, status=1)
    assert "not found" in desk.run("approve", "appr_none", status=1)


def test_answer_goes_through_what_waits_oldest_first(desk: Desk):
    first, second, third = [desk.place.ask("user_1") for _ in range(3)]
    out = desk.run("answer", typed="y\nn\nno refunds\ns\n")
    assert out.index(first.id) < out.index(second.id) < out.index(third.id)
    assert [desk.state(row) for row in (first, second, third)] == ["approved", "denied", "pending"]
    assert desk.place.answers(second) == [("deny", "no refunds")]
    desk.run("answer", third.id, typed="x\nn\n\n")
    assert desk.place.answers(third) == [("deny", None)]
    assert desk.run("answer") == "No call waits.\n"


def test_an_answer_that_is_refused_does_not_end_the_round(desk: Desk):
    own, other = desk.place.ask(desk.user), desk.place.ask("user_1")
    assert "another person" in desk.run("answer", typed="y\ny\n")
    assert [desk.state(row) for row in (own, other)] == ["pending", "approved"]


def test_watch_asks_for_calls_as_they_come(desk: Desk):
    with subprocess.Popen(
        desk.command("watch"),
        env=desk.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watch:
        assert watch.stdin is not None
        assert watch.stdout is not None
        try:
            watch.stdin.write("y\nn\n\n")
            watch.stdin.flush()
            for said in ("Approved.", "Denied."):
                row = desk.place.ask("user_1")
                assert read_to(watch.stdout, said)
                assert desk.state(row) == said.removesuffix(".").lower()
        finally:
            watch.kill()


def read_to(out: IO[str], ending: str) -> bool:
    """Whether a line ends so; the test's own time limit bounds the wait."""
    return any(line.rstrip().endswith(ending) for line in iter(out.readline, ""))
