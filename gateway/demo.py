"""``wharfkeep demo``: the whole product in one command, with nothing to prepare.

Starts a gateway of its own on a free port and a throwaway data directory, lets the official SDK
run the quickstart against it from a separate process, shows the file the agent wrote, and says
what did the work: which model, which sandbox, and what that sandbox isolates.
"""

import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.errors import StartError

READY_SECONDS = 60
"""How long the gateway may take to say that it is ready."""
TURN_SECONDS = 600
MAX_FILE = 64 * 1024

_OWN = ("WHARFKEEP_", "ANTHROPIC_")


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway that is up."""

    url: str
    key: str
    model: str
    sandbox: str


def run(config: Config, *, keep: bool = False) -> int:
    """Run the demo; returns the process's exit status.

    Args:
        config: Its models decide who answers; the scripted model does when none is configured.
        keep: Leave the data directory behind and say where it is.

    Raises:
        StartError: The gateway did not start; its own words are in the message.
    """
    home = Path(tempfile.mkdtemp(prefix="wharfkeep-demo-"))
    home.chmod(0o711)  # as root, sandboxes have users of their own, who must get to their layers
    try:
        with _serving(config, home) as served:
            _say(f"model    {served.model}")
            _say(f"sandbox  {served.sandbox}")
            _say(f"gateway  {served.url}\n")
            status = _quickstart(served)
        _show_file(home)
        _say(_CLOSING if status == 0 else "\nThe turn did not end well; see above.")
        return status
    finally:
        if keep:
            _say(f"data directory kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _real_model(config: Config) -> bool:
    env = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
    return bool(config.models.endpoints) or any(os.environ.get(name) for name in env)


@contextmanager
def _serving(config: Config, home: Path) -> Generator[Served]:
    key = f"wk-{secrets.token_urlsafe(24)}"
    env = dict(os.environ, WHARFKEEP_API_KEY=key)
    scripted = not _real_model(config)
    if scripted and config.models.script is None:
        script = Path(__file__).parent / "model" / "scripts" / "primes.toml"
        env["WHARFKEEP_MODELS__SCRIPT"] = str(script)
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--listen", "127.0.0.1:0"]
    errors = home / "serve.log"
    with errors.open("wb") as log:
        server = subprocess.Popen(
            [*command, "--data-dir", str(home / "data")],
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield _wait_ready(server, errors, key)
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_ready(server: "subprocess.Popen[str]", errors: Path, key: str) -> Served:
    """Read the lines that `serve` prints on its standard output once it is ready."""
    assert server.stdout is not None
    found: dict[str, str] = {}
    deadline = time.monotonic() + READY_SECONDS
    for line in server.stdout:
        name, _, value = line.strip().partition(" ")
        found[name] = value.strip()
        if name == "ready":
            return Served(found["ready"], key, found["model"], found["sandbox"])
        if time.monotonic() > deadline:
            break
    reason = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise StartError(reason[-1] if reason else "the gateway did not start")


def _quickstart(served: Served) -> int:
    """Run the SDK's side in a process that knows nothing but the URL and the key."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    env.update(ANTHROPIC_BASE_URL=served.url, ANTHROPIC_API_KEY=served.key)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        env["WHARFKEEP_DEMO_COLOUR"] = "1"
    if model := os.environ.get("WHARFKEEP_DEMO_MODEL"):
        env["WHARFKEEP_DEMO_MODEL"] = model
    client = [sys.executable, "-P", "-m", "gateway.quickstart"]
    return subprocess.run(client, env=env, timeout=TURN_SECONDS, check=False).returncode


def _show_file(home: Path) -> None:
    """Show primes.txt as it lies in the session's workspace, following no link out of there."""
    for workspace in sorted(home.glob("data/sandboxes/layers/*/workspace")):
        text = _read_regular(workspace / "primes.txt")
        if text is not None:
            numbers = text.split()
            shown = " ".join([*numbers[:8], "...", *numbers[-3:]])
            _say(f"\nfile     /workspace/primes.txt, {len(numbers)} lines: {shown}")


def _read_regular(path: Path) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return file.read(MAX_FILE).decode(errors="replace")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_CLOSING = """
That was the official SDK. The same from your own code, against `wharfkeep serve`:

    from anthropic import Anthropic
    client = Anthropic(base_url="http://127.0.0.1:8400", api_key="...")
    tools = [{"type": "agent_toolset_20260401"}]
    agent = client.beta.agents.create(name="A", model="claude-haiku-4-5", tools=tools)
    environment = client.beta.environments.create(name="E")
    session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
"""
