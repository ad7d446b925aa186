"""What is taken from apt's configuration, and what is left out."""

from pathlib import Path

import pytest

from sandbox import apt

DEB822 = "Types: deb\nURIs: http://mirror.example/debian\nSuites: {suites}\nComponents: main\n"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        DEB822.format(suites="bookworm bookworm-updates"),
        DEB822.format(suites="other bookworm-security"),
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main\n",
        "# mine\ndeb http://mirror.example/debian bookworm/updates main\n",
    ],
)
def test_sources_of_this_release_are_used(configuration: Path, text: str):
    file = configuration / "sources.list.d/a.sources"
    file.write_text(text)
    assert apt.sources("bookworm", configuration) == [file]


@pytest.mark.parametrize(
    "text",
    [
        DEB822.format(suites="trixie"),
        "deb https://mirror.example/apt cloud-bookworm main\n",
        "# deb http://mirror.example/debian bookworm main\n",
        "deb https://mirror.example/bookwormish stable main\n",
        "",
    ],
)
def test_sources_of_something_else_are_not(configuration: Path, text: str):
    (configuration / "sources.list").write_text(text)
    assert apt.sources("bookworm", configuration) == []


def test_the_release_is_known_by_its_name(tmp_path: Path):
    (tmp_path / "a").write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    (tmp_path / "b").write_text("ID=arch\n")
    assert apt.codename(tmp_path / "a") == "trixie"
    assert apt.codename(tmp_path / "b") is None
    assert apt.codename(tmp_path / "c") is None
