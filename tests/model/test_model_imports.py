"""The SDK is imported by the client alone, and only when it is used."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["contract", "fake", "script", "prompt", "compact", "price", "catalogue", "tokens", "client"],
)
def test_nothing_of_the_sdk_is_loaded_before_a_request(module: str) -> None:
    code = (
        f"import sys, gateway.model.{module}\n"
        "heavy = {'anthropic', 'httpx2', 'aiohttp', 'mcp', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
