"""How packages may be named, manager by manager."""

import pytest

from gateway.errors import InvalidRequest
from gateway.wire.packages import MANAGERS, MAX_NAME, MAX_PACKAGES, check_packages
from tests.ledger.requirement import requirement

GOOD = {
    "apt": ["jq", "g++", "libc6-dev", "jq=1.6-2.1+deb12u1", "libc6:amd64", "jq/stable"],
    "cargo": ["ripgrep", "ripgrep@14.0.0", "cargo-edit@^0.12", "a_b"],
    "gem": ["rails", "rails:7.1.0", "ruby2_keywords", "jekyll:4.3.0.pre"],
    "go": ["golang.org/x/tools/cmd/goimports", "example.com/a/b@v1.2.3", "gopkg.in/yaml.v3@latest"],
    "npm": ["express", "express@4.18.0", "@types/node@^20", "left-pad@latest", "JSONStream", "x@*"],
    "pip": ["numpy", "numpy==1.26.4", "a.b_c", "httpx[http2,socks]>=0.27,<1", "x~=1.0", "x!=1.*"],
}
BAD = {
    "apt": ["jq-", "JQ", "./x.deb", "/x.deb", "~nname", "?name(x)", "a,b", "jq=", "x"],
    "cargo": ["--git", "ripgrep@", "a/b", "ripgrep@git", "../x"],
    "gem": ["rails:latest", "./x.gem", "rails -v 1", "a/b"],
    "go": ["fmt", "./x", "example.com", "example.com/../x", "example.com/a@", "example.com/..."],
    "npm": ["./x", "a/b", "git+https://a/b", "x@npm:y", "x@file:/y", "@scope", "x@/y", "http://x"],
    "pip": ["./x", "x @ https://a", "x;y", "-r", "git+https://a", "x==", "x[", "https://a/x.whl"],
}
EVERYWHERE = [
    "",
    " ",
    "-x",
    "--option",
    "a b",
    "a\nb",
    "a\0b",
    "a\u2028b",
    "é",
    "a$(b)",
    "a" * (MAX_NAME + 1),
]


@requirement("environments:cloud:package-names")
@pytest.mark.parametrize("manager", MANAGERS)
def test_names_are_written_as_each_registry_writes_them(manager: str):
    check_packages({manager: GOOD[manager]})


@requirement("environments:cloud:package-names")
@pytest.mark.parametrize("manager", MANAGERS)
def test_what_is_not_a_name_of_a_registry_is_refused_with_its_field(manager: str):
    for name in (*BAD[manager], *EVERYWHERE):
        with pytest.raises(InvalidRequest) as refused:
            check_packages({manager: ["fine" if manager != "go" else "a.b/c", name]})
        assert refused.value.message.startswith(f"config.packages.{manager}.1: "), name


def test_there_may_be_only_so_many():
    check_packages({"pip": ["x"] * MAX_PACKAGES})
    with pytest.raises(InvalidRequest, match=r"^config.packages.pip: at most"):
        check_packages({"pip": ["x"] * (MAX_PACKAGES + 1)})


def test_nothing_is_a_choice_too():
    check_packages({"type": "packages", "apt": None, "pip": []})
