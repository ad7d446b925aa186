"""The headers that choose a version and a beta."""

import pytest

from gateway.errors import InvalidRequest, NotFound
from gateway.wire import betas
from tests.ledger.requirement import requirement


@requirement("transport:beta:list")
def test_beta_values_are_collected_from_all_lines_once_each():
    lines = ["managed-agents-2026-04-01, x ,,managed-agents-2026-04-01", "", "y,x"]
    assert betas.parse_betas(lines) == ("managed-agents-2026-04-01", "x", "y")
    assert betas.parse_betas([]) == ()


def test_a_missing_beta_value_is_fine_by_default():
    betas.require([], strict=False)
    betas.require(["unheard-of"], strict=False)


def test_a_missing_beta_value_hides_the_endpoint_when_strict():
    betas.require(["x", betas.MANAGED_AGENTS], strict=True)
    with pytest.raises(NotFound, match="anthropic-beta: managed-agents-2026-04-01"):
        betas.require(["x"], strict=True)


@pytest.mark.parametrize(
    ("lines", "version"),
    [
        (["2026-10-21"], "2026-10-21"),
        ([" 2023-06-01 "], "2023-06-01"),
        ([], betas.LATEST_VERSION),
        ([""], betas.LATEST_VERSION),
    ],
)
def test_a_version_is_a_date_and_the_latest_when_missing(lines: list[str], version: str):
    assert betas.parse_version(lines) == version


@pytest.mark.parametrize("version", ["latest", "2026-13-01", "20261021", "2026-10-21T00:00:00Z"])
def test_a_version_that_is_no_date_is_refused(version: str):
    with pytest.raises(InvalidRequest, match=r"^anthropic-version: "):
        betas.parse_version([version])
