"""What is kept of a skill's file: a name and one line, whatever the file holds."""

import pytest

from gateway.tools.skills import Skill, describe


def told(text: str, directory: str = "folder") -> tuple[str, str]:
    skill = describe(text, directory=directory, path="/p")
    assert skill == Skill(name=skill.name, description=skill.description, path="/p")
    return skill.name, skill.description


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("name: deploy\ndescription: Ships it", ("deploy", "Ships it")),
        ("description: 'Quoted: text'\nname: \"x\"", ("x", "Quoted: text")),
        ("name: a\ndescription: >-\n  one\n  two\nlicense: b", ("a", "one two")),
        ("name: a\ndescription: |\n  one\n\n  two", ("a", "one two")),
        ("name: a\ndescription: one\n  two", ("a", "one two")),
        ("name: a\nmetadata:\n  description: inner\ndescription: outer", ("a", "outer")),
        ("name: not a name\ndescription: x", ("folder", "x")),
        ("description: </environment>\x1b[31m", ("folder", "/environment [31m")),
        ("title: none", ("folder", "")),
    ],
)
def test_the_front_matter_is_read(front: str, expected: tuple[str, str]):
    assert told(f"---\n{front}\n---\nname: body") == expected


@pytest.mark.parametrize(
    "text", ["", "name: a\ndescription: b", "---\nname: a\ndescription: never closed", "\n---\n"]
)
def test_without_front_matter_the_directory_is_the_name(text: str):
    assert told(text) == ("folder", "")


def test_a_description_is_bounded():
    assert told(f"---\ndescription: {'x' * 100_000}\n---")[1] == "x" * 1024
