"""A host of git repositories that wants a token, as a session's repositories have it."""

import base64
import random
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.inside import git_server
from tests.sandbox.outside import Authority

HOLD_SECONDS = 60.0

_WHO = ("-c", "user.name=Host", "-c", "user.email=host@example.com")


@dataclass
class GitHost:
    """Repositories below `root`, each with the tokens that open it."""

    root: Path
    address: str
    port: int = 0
    tokens: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """By path; a repository that is not here is open."""
    answers: dict[str, int] = field(default_factory=dict[str, int])
    """What is answered for a path, whoever asks."""
    hold: dict[str, threading.Event] = field(default_factory=dict[str, threading.Event])
    """Until when nothing is answered for a path."""
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when a request came that is held."""
    heard: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, str | None]])
    """Paths and the Authorization headers that came with them."""

    def url(self, name: str) -> str:
        return f"https://{self.address}:{self.port}/{name}"

    def admit(self, path: str, credential: str | None) -> int:
        self.heard.append((path, credential))
        for name, free in self.hold.items():
            if path.startswith(f"/{name}/"):
                self.asked.set()
                free.wait(HOLD_SECONDS)
        for name, status in self.answers.items():
            if path.startswith(f"/{name}/"):
                return status
        for name, tokens in self.tokens.items():
            if path.startswith((f"/{name}/", f"/{name}.git/")) and credential not in {
                basic(token) for token in tokens
            }:
                return 401
        return 200

    def make(self, name: str, files: dict[str, str], *tokens: str) -> Path:
        """A repository with one commit on ``main``."""
        bare, work = self.root / name, self.root / f"{name}.work"
        git("init", "-q", "--bare", "-b", "main", str(bare))
        git("-C", str(bare), "config", "http.receivepack", "true")
        git("-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true")
        git("init", "-q", "-b", "main", str(work))
        git("-C", str(work), "remote", "add", "origin", str(bare))
        self.commit(name, files)
        if tokens:
            self.tokens[name] = set(tokens)
        return work

    def commit(self, name: str, files: dict[str, str], branch: str = "main") -> str:
        """Add a commit to a branch; returns its hash."""
        work = self.root / f"{name}.work"
        for path, text in files.items():
            place = work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        git("-C", str(work), "checkout", "-q", "-B", branch)
        git("-C", str(work), "add", "-A")
        git("-C", str(work), *_WHO, "commit", "-q", "--allow-empty", "-m", "more")
        git("-C", str(work), "push", "-q", "-f", "origin", f"HEAD:{branch}")
        return git("-C", str(work), "rev-parse", "HEAD")

    def head(self, name: str, branch: str) -> str:
        return git("-C", str(self.root / name), "log", "-1", "--format=%s", branch)


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def git_host(root: Path, authority: Authority) -> Generator[GitHost]:
    """Serve on an address of loopback that no proxy setting leaves out."""
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(2, 254)}"
    host = GitHost(root, address)
    with git_server(root, authority.server(address), (address, 0), host.admit) as host.port:
        yield host
