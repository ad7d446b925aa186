"""robots.txt as RFC 9309 reads it."""

import pytest

from toolservers.web.robots import parse


def allows(text: str, target: str, agent: str = "Harbour") -> bool:
    return parse(text, agent).allow(target)


ALL = "User-agent: *\n"


@pytest.mark.parametrize(
    ("rules", "target", "allowed"),
    [
        ("", "/", True),
        ("Disallow:", "/x", True),
        ("Disallow: /", "/x", False),
        ("Disallow: /a", "/a", False),
        ("Disallow: /a", "/ab/c?d", False),
        ("Disallow: /a", "/b/a", True),
        ("Disallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("Allow: /a/b\nDisallow: /a", "/a/c", False),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /*.php", "/x/y.php?z", False),
        ("Disallow: /*.php$", "/x.php", False),
        ("Disallow: /*.php$", "/x.php5", True),
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /a*b*c", "/a--b--c--", False),
        ("Disallow: /a*b*c$", "/a--b--c--", True),
        ("Disallow: /*/x/", "/a/b/x/c", False),
        ("Disallow: /é", "/%C3%A9", False),
        ("Disallow: /%61", "/a", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /x # not a word\n", "/x", False),
        ("disallow : /x", "/x", False),
        ("nonsense\nDisallow: /x", "/x", False),
    ],
)
def test_the_longest_pattern_decides(rules: str, target: str, allowed: bool):
    assert allows(ALL + rules, target) is allowed


def test_a_program_that_is_named_reads_its_own_rules_only():
    text = "User-agent: *\nDisallow: /\nUser-agent: harbour\nUser-agent: other\nDisallow: /x\n"
    assert allows(text, "/y")
    assert not allows(text, "/x")
    assert not allows(text, "/y", agent="Somebody")


def test_groups_of_one_name_are_one():
    text = "User-agent: Harbour\nDisallow: /a\n\nUser-agent: x\nDisallow: /\n\nUser-agent: Harbour\nDisallow: /b"
    assert not allows(text, "/a")
    assert not allows(text, "/b")
    assert allows(text, "/c")


def test_rules_before_any_name_are_nobodys():
    assert allows("Disallow: /\n", "/x")


def test_a_hostile_file_takes_no_time():
    stars = "/" + "*a" * 1000
    assert allows(ALL + f"Disallow: {stars}", "/" + "a" * 2000)
    many = "\n".join(f"Disallow: /{n}" for n in range(100_000))
    assert allows(ALL + many, "/x")
