"""The documents are complete, linked and current."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest

from gateway.cli.main import wharfkeep
from gateway.config import Config
from gateway.reference import pages
from tests.house.tree import ROOT, files, name

_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_GENERATED = pages(wharfkeep)


def _links(page: Path) -> Iterator[Path]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from ((page.parent / target).resolve() for target in _LINK.findall(text))


def _markdown() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("path", _GENERATED)
def test_a_generated_file_is_what_the_code_makes(path: str):
    assert (ROOT / path).read_text(encoding="utf-8") == _GENERATED[path], "run: just docs"


@pytest.mark.parametrize("page", _markdown(), ids=name)
def test_every_link_of_a_page_leads_to_a_file(page: Path):
    assert [target for target in _links(page) if not target.exists()] == []


def test_every_page_of_the_documentation_is_reached_from_its_index():
    reached: set[Path] = set()
    ahead = [ROOT / "docs/README.md"]
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            ahead += [target for target in _links(page) if target.is_file()]
    docs = {page for page in _markdown() if page.is_relative_to(ROOT / "docs")}
    assert sorted(map(name, docs - reached)) == []


def test_the_example_configuration_shows_the_defaults_that_are_in_force():
    example = (ROOT / "config/wharfkeep.toml").read_text(encoding="utf-8")
    assert Config(**tomllib.loads(example)) == Config()
    uncommented = re.sub(
        r'^# (?=[a-z_0-9]+ = (?!"\.\.\."|"/path))', "", example, flags=re.MULTILINE
    )
    without_named = re.sub(r"^# \[[\s\S]*?\n\n", "", uncommented, flags=re.MULTILINE)
    assert Config(**tomllib.loads(without_named)) == Config()


def test_the_example_configuration_fits_the_published_schema():
    schema = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
    document = tomllib.loads((ROOT / "config/wharfkeep.toml").read_text(encoding="utf-8"))
    document["sandbox"]["memory"] = "2 GiB"
    jsonschema.validate(document, schema)
    document["sandbox"]["memory"] = "a lot"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_every_key_of_the_configuration_says_what_it_means():
    assert (
        re.findall(
            r"^\| (`\w+`) .*\|\s*\|$", _GENERATED["docs/reference/configuration.md"], re.MULTILINE
        )
        == []
    )


def test_every_command_and_option_has_help():
    assert list(_without_help(wharfkeep, "wharfkeep")) == []


def _without_help(command: click.Command, path: str) -> Iterator[str]:
    if not command.help:
        yield path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.help:
            yield f"{path} {parameter.opts[0]}"
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from _without_help(child, f"{path} {child_name}")
