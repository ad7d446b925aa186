"""What an endpoint's trouble is called. The statuses are in `test_client`, over a real socket."""

from email.utils import formatdate

import pytest

from gateway.model.failure import of_status


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1_030)}, 30.0),
        ({"retry-after": formatdate(900)}, 0.0),
        ({"retry-after": "999999999"}, 3600.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_retry_after_is_seconds_a_date_or_nothing(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert of_status("e", 429, b"", headers, now=1_000).retry_after == seconds


def test_an_endpoint_may_say_that_trying_again_is_no_use() -> None:
    error = of_status("e", 429, b"", {"x-should-retry": "false", "retry-after": "5"}, now=0)
    assert (error.kind, error.retryable, error.retry_after) == ("rate_limited", False, None)


def test_the_endpoints_words_are_passed_on_short_and_without_secrets() -> None:
    words = "the key sk-secret is  bad\n" + "x" * 1000
    error = of_status(
        "e", 400, b'{"error": {"message": %s}}' % repr(words).replace("'", '"').encode(), {}, now=0,
        secrets=["sk-secret"],
    )  # fmt: skip
    assert "the key [redacted] is bad x" in error.message
    assert len(error.message) < 400


def test_a_refused_key_is_never_quoted() -> None:
    error = of_status("e", 401, b'{"error": {"message": "key sk-1***9 is bad"}}', {}, now=0)
    assert "sk-1" not in error.message
    assert "check its key" in error.message
