"""Programs in the place of ours that mean harm: they lose their sandbox, and nobody else anything."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from sandbox.bubblewrap import BubblewrapDriver
from sandbox.contract import SandboxError, SandboxSpec, Unavailable
from tests.sandbox.abuse import hostile
from tests.sandbox.watching import DEADLINE, open_descriptors, wait_dead

METER = 3
"""Descriptors of the process that measures layers, which starts when it is first needed."""

Make = Callable[..., BubblewrapDriver]


@pytest.mark.probe(78, 115)
@pytest.mark.parametrize(
    "program",
    [
        hostile.GARBAGE,
        hostile.DEEP,
        hostile.ENDLESS_LINE,
        hostile.CHATTER,
        hostile.STRANGE_LINES,
        hostile.HANGS_UP,
        hostile.DIALS,
        hostile.KEEPS_DIALLING,
    ],
)
async def test_a_program_that_breaks_the_protocol_loses_its_sandbox(
    run_inside: Make, bubblewrap: BubblewrapDriver, data_dir: Path, program: str
):
    other = await bubblewrap.create(SandboxSpec(id="other"))
    await bubblewrap.probe()  # what watches its sandboxes runs from here on
    before = open_descriptors()
    driver = run_inside(program)
    try:
        cell = await driver.create(SandboxSpec(id="one"))
    except Unavailable:  # it was faster
        pass
    else:
        await wait_dead(cell)
        await cell.destroy()
    assert other.alive
    await driver.aclose()
    assert open_descriptors() <= before + METER


async def test_orders_that_are_ignored_time_out_and_the_sandbox_lives(run_inside: Make):
    driver = run_inside(hostile.IGNORES_ORDERS, call_seconds=0.2)
    cell = await driver.create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE):
        for _ in range(3):
            with pytest.raises(SandboxError, match="did not answer"):
                await cell.open("tools")
    assert cell.alive


async def test_a_refusal_is_told_in_its_own_words_but_not_all_of_them(run_inside: Make):
    driver = run_inside(hostile.REFUSES)
    cell = await driver.create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError) as raised:
        await cell.open("tools")
    assert len(str(raised.value)) <= 4096


@pytest.mark.probe(77)
async def test_descriptors_that_are_sent_along_are_not_taken(run_inside: Make):
    driver = run_inside(hostile.SENDS_DESCRIPTORS)
    await driver.probe()  # what watches sandboxes runs from here on
    cell = await driver.create(SandboxSpec(id="one"))
    before = open_descriptors()
    await cell.claim(env={})
    with anyio.fail_after(DEADLINE):
        for _ in range(3):
            channel = await cell.open("tools")
            received = b""
            while data := await channel.receive():
                received += data
                assert open_descriptors() <= before + 1
            assert received == b"x" * 20
            await channel.aclose()
    assert open_descriptors() == before


async def test_a_flood_of_errors_is_not_kept(run_inside: Make):
    cell = await run_inside(hostile.WRITES_ERRORS).create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE):
        await cell.claim(env={})
        await cell.destroy()
    assert 0 < len(cell.complaints) <= 8192


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("endless", "larger than"),
        ("short", "whole"),
        ("nonsense", "nonsense"),
        ("long", "nonsense"),
        ("nothing", "gone"),
        ("waits", "did not answer"),
    ],
)
async def test_a_file_that_does_not_come_as_agreed_is_an_error(
    run_inside: Make, path: str, told: str
):
    cell = await run_inside(hostile.FILES, call_seconds=1.0).create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError, match=told):
        await cell.pull(path, max_bytes=1_000_000)
