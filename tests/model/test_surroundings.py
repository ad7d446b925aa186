"""What an agent is told of its sandbox is what holds for its session."""

from typing import Any

import pytest

from gateway.model.surroundings import describe

LIMITED = {
    "type": "limited",
    "allowed_hosts": [],
    "allow_mcp_servers": False,
    "allow_package_managers": False,
}


def about(**changes: Any) -> str:
    body: dict[str, Any] = {
        "environment_type": "cloud",
        "networking": {"type": "unrestricted"},
        "packages": {},
        "resources": [],
    }
    return describe(body | changes)


def test_it_says_where_files_are() -> None:
    text = about()
    assert "/workspace" in text
    assert "/mnt/session/outputs" in text
    assert "read-only" not in text


def test_a_self_hosted_environment_has_no_outputs_and_no_network_of_ours() -> None:
    text = about(environment_type="self_hosted", networking=None)
    assert "/workspace" in text
    assert "outputs" not in text
    assert "network" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "There is no network"),
        ({"allowed_hosts": ["*.example.com"]}, "name: *.example.com"),
        ({"allow_package_managers": True}, "name: package registries"),
        ({"allow_mcp_servers": True}, "name: the MCP servers of this agent"),
    ],
)
def test_it_says_what_a_limited_network_reaches(change: dict[str, Any], expected: str) -> None:
    assert expected in about(networking=LIMITED | change)


def test_an_unrestricted_network_is_reached_through_the_proxy() -> None:
    assert "internet can be reached through the HTTP proxy" in about()


def test_files_of_the_user_are_listed_up_to_a_bound() -> None:
    files = [{"type": "file", "mount_path": f"/mnt/session/uploads/{n}"} for n in range(53)]
    text = about(resources=files)
    assert "/mnt/session/uploads/49, and 3 more" in text
    assert "/mnt/session/uploads/50" not in text


def test_skills_of_repositories_are_told_each_with_its_own_path() -> None:
    entries = [
        {"id": name, "type": "github_repository", "url": "https://x/y", "mount_path": f"/w/{name}"}
        for name in ("two", "one", "failed")
    ]
    found = {
        "one": [{"name": "deploy", "description": "", "path": "/w/one/a"}],
        "two": [{"name": "deploy", "description": "How.", "path": "/w/two/a"}],
    }
    lines = about(resources=entries, repository_skills=found).splitlines()
    told = [line for line in lines if line.startswith("- ")]
    assert told == ["- deploy (/w/two/a): How.", "- deploy (/w/one/a)"]
    assert "skills" not in about(resources=entries, repository_skills={"one": []})


def test_repositories_and_packages_are_named() -> None:
    repository = {
        "type": "github_repository",
        "url": "https://example.com/a/b",
        "mount_path": "/workspace/b",
    }
    text = about(resources=[repository], packages={"type": "packages", "pip": ["x==1"], "apt": []})
    assert "https://example.com/a/b is in /workspace/b" in text
    assert text.count("pip: x==1") == 1
    assert "apt" not in text
