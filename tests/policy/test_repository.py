"""Which requests of git belong to which repository, and what git says when it fails."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import repository
from gateway.policy.repository import explain, parse, route, settings, with_token
from sandbox.egress.rules import Request, Target

ONE = parse("one", "https://git.example/o/r")
PORT = parse("port", "https://git.example:8443/o/r")
DEEP = parse("deep", "https://git.example/o/r/sub")
UPLOAD = "/info/refs?service=git-upload-pack"


def request(path: str, host: str = "git.example", port: int = 80, **fields: Any) -> Request:
    fields = {"method": "GET", "scheme": "http", "headers": (), **fields}
    return Request(target=Target(host, port), path=path, **fields)


@pytest.mark.parametrize(
    ("url", "spelled", "inside"),
    [
        ("https://Git.Example/o/r/", "https://git.example/o/r", "http://git.example/o/r"),
        ("https://git.example:443/r", "https://git.example/r", "http://git.example/r"),
        (
            "https://git.example:8443/o/r",
            "https://git.example:8443/o/r",
            "http://git.example/:8443/o/r",
        ),
        ("https://[2001:db8::1]/o/r", "https://[2001:db8::1]/o/r", "http://[2001:db8::1]/o/r"),
    ],
)
def test_a_repository_is_spelled_in_one_way(url: str, spelled: str, inside: str):
    found = parse("id", url)
    assert (found.url, found.inside, found.name) == (spelled, inside, "r")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://git.example/o/../r", "segments"),
        ("https://git.example/o/%2e%2E/r", "segments"),
        ("https://git.example/o//r", "segments"),
        ("https://git.example/o/r\u00e9po", "ASCII"),
        ("https://git.example/:22/r", "ASCII"),
        ("https://git.example:80/o/r", "port 80"),
        ("https://git_example..com/o/r", "not a host"),
    ],
)
def test_what_cannot_be_a_repository_is_refused(url: str, why: str):
    with pytest.raises(ValueError, match=why):
        parse("id", url)


def test_git_is_told_of_every_repository():
    told = settings([ONE, PORT])
    assert told == {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "url.http://git.example/o/r.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://git.example/o/r",
        "GIT_CONFIG_KEY_1": "url.http://git.example/:8443/o/r.insteadOf",
        "GIT_CONFIG_VALUE_1": "https://git.example:8443/o/r",
    }
    assert settings([]) == {}


@pytest.mark.parametrize("dot", ["", ".git"])
@pytest.mark.parametrize(
    "rest",
    [
        UPLOAD,
        "/info/refs?service=git-receive-pack",
        "/git-upload-pack",
        "/git-receive-pack",
    ],
)
def test_fetching_and_pushing_are_the_repositorys_own(dot: str, rest: str):
    found = route([ONE, PORT], request(f"/o/r{dot}{rest}"))
    assert found is not None
    assert found.resources == ("one",)
    assert (found.request.scheme, found.request.server) == ("https", Target("git.example", 443))
    assert found.request.path == f"/o/r{dot}{rest}"


@pytest.mark.parametrize(
    "path",
    [
        "/o/r2/info/refs?service=git-upload-pack",
        "/o/r.git2/git-upload-pack",
        "/o/r",
        "/o/r/",
        "/o/r/info/refs",
        "/o/r/info/refs?service=git-upload-pack&x=1",
        "/o/r/info/refs?service=git-upload-archive",
        "/o/r/info/lfs/objects/batch",
        "/o/r/../r2/git-upload-pack",
        "/o/r/git-upload-pack/",
        "/o/r/git-upload-pack?x",
        "/o/r//git-upload-pack",
        "/o/r/.git/git-upload-pack",
        "/o/r%2fgit-upload-pack",
    ],
)
def test_what_only_begins_like_it_goes_on_over_https_and_is_not_its_own(path: str):
    found = route([ONE], request(path))
    assert found is not None
    assert found.resources == ()
    assert found.request.scheme == "https"
    assert found.request.path == path


@pytest.mark.parametrize(
    "other",
    [
        request("/o"),
        request("/"),
        request(f"//o/r{UPLOAD}"),
        request(f"/O/R{UPLOAD}"),
        request(f"/o/r{UPLOAD}", host="evil.example"),
        request(f"/o/r{UPLOAD}", port=8080),
        request(f"/o/r{UPLOAD}", scheme="https"),
    ],
)
def test_other_requests_are_nobodys(other: Request):
    assert route([ONE], other) is None


def test_the_longest_name_wins_and_ports_are_told_apart():
    inner = route([ONE, DEEP, PORT], request(f"/o/r/sub{UPLOAD}"))
    assert inner is not None
    assert inner.resources == ("deep",)
    port = route([ONE, DEEP, PORT], request(f"/:8443/o/r{UPLOAD}"))
    assert port is not None
    assert port.resources == ("port",)
    assert port.request.server == Target("git.example", 8443)
    assert port.request.path == f"/o/r{UPLOAD}"


def test_a_repository_attached_twice_is_found_twice():
    again = parse("again", "https://git.example/o/r")
    found = route([ONE, again], request(f"/o/r{UPLOAD}"))
    assert found is not None
    assert found.resources == ("one", "again")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_other_path_is_ever_its_own(rest: str):
    found = route([ONE], request(f"/o/r{rest}"))
    known = {"info/refs?service=git-upload-pack", "info/refs?service=git-receive-pack"}
    known |= {"git-upload-pack", "git-receive-pack"}
    own = {f"{dot}/{each}" for dot in ("", ".git") for each in known}
    assert found is not None
    assert bool(found.resources) is (rest in own)


def test_the_door_is_the_only_thing_that_opens():
    assert repository.opens([PORT], Target("git.example", 80))
    for port in (443, 8443, 22):
        assert not repository.opens([PORT, ONE], Target("git.example", port))


def test_the_token_replaces_whatever_came_from_inside():
    headers = ((b"authorization", b"Basic x"), (b"accept", b"*/*"), (b"x-original-url", b"/user"))
    given = request("/", headers=headers)
    assert with_token(given, "t").headers == (
        (b"accept", b"*/*"),
        (b"authorization", b"Basic eC1hY2Nlc3MtdG9rZW46dA=="),
    )
    assert with_token(given, None).headers == ((b"accept", b"*/*"),)


_UNABLE = "fatal: unable to access 'http://git.example/o/r/': "


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: could not read Username for 'http://git.example': terminal prompts disabled", 0),
        ("fatal: Authentication failed for 'http://git.example/o/r/'", 0),
        (f"{_UNABLE}The requested URL returned error: 403", 1),
        ("fatal: repository 'http://git.example/o/r/' not found", 2),
        ("remote: Not found.\nfatal: repository 'http://git.example/o/r/' not found\n", 2),
        (f"{_UNABLE}The requested URL returned error: 500", 3),
        (f"{_UNABLE}Could not resolve proxy: x", 3),
        ("remote: fatal: Authentication failed\nfatal: early EOF", 3),
        (f"remote: wharfkeep: denied (address:loopback)\n{_UNABLE}returned error: 403", 3),
        ("/bin/sh: 9: git: not found", 3),
        ("", 3),
    ],
)
def test_what_git_says_becomes_a_kind_of_error(said: str, kind: int):
    kinds = ("authentication", "forbidden", "not_found", "clone")
    assert explain(ONE, said)[0] == kinds[kind]


def test_the_explanation_is_one_bounded_line_with_the_clients_own_url():
    _, text = explain(ONE, f"warning: x\n{_UNABLE}no \x1b[31mway\r\n")
    assert text == "fatal: unable to access 'https://git.example/o/r/': no \ufffd[31mway"
    assert len(explain(ONE, "fatal: " + "x" * 10_000)[1]) == 300
    assert explain(ONE, "remote: wharfkeep: no route (unreachable:x)\nfatal: y")[1] == (
        "no route (unreachable:x)"
    )


def test_a_session_s_repositories_are_picked_from_its_resources():
    resources: list[dict[str, Any]] = [
        {"id": "a", "type": "file", "file_id": "file_1"},
        {"id": "b", "type": "github_repository", "url": "https://git.example/o/r"},
    ]
    assert repository.attached(resources) == (parse("b", "https://git.example/o/r"),)
