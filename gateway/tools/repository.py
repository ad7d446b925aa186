"""Repositories in sandboxes: cloned by the git inside, with a token that never is inside.

A clone comes into being beside its place and is moved there when it is whole. It is made once for
each life of a sandbox's files: what the store remembers is when the sandbox was born that has it.
Why git runs inside, and how the token gets to its server: ``docs/decisions/0009``.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import anyio
import structlog

from gateway.errors import ApiError, GatewayError
from gateway.policy import repository
from gateway.policy.repository import Kind, Repository
from gateway.store.records import SessionRow
from gateway.store.store import Store
from gateway.tools.notice import Notice
from gateway.tools.skills import find_skills
from gateway.vault.seal import NotOurs, Seal
from sandbox.contract import Sandbox, SandboxError
from sandbox.egress.rules import Denied

log = structlog.get_logger()

_AT_ONCE = 4
_MAX_TAIL = 16 * 1024
_MAX_OUTPUT = 4 * 1024**2

_ENV = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GIT_LFS_SKIP_SMUDGE": "1"}

# When nobody listens any more, everything this started is killed. The last line says how it ended.
_SCRIPT = r"""
exec 3<&0 </dev/null 2>&1
(read -r _ <&3; kill -TERM -$$) >/dev/null 2>&1 &
watch=$!
url=$1 place=$2 draft=$3 kind=$4 wanted=$5
end() { kill "$watch" 2>/dev/null; printf '\n%s %s\n' "$MARKER" "$1"; exit; }
fail() { cd /; rm -rf "$draft"; end "$1"; }
[ -e "$place/.git" ] && end there
rm -rf "$draft"; mkdir -p "${place%/*}" || end clone
git clone -q -n --no-recurse-submodules -- "$url" "$draft" 3<&- || fail clone
cd "$draft" || fail clone
case $kind in
branch)
    git rev-parse -q --verify "refs/remotes/origin/$wanted" >/dev/null || fail missing
    git checkout -q -B "$wanted" --track "refs/remotes/origin/$wanted" -- 3<&- || fail checkout
    ;;
commit)
    git rev-parse -q --verify "$wanted^{commit}" >/dev/null ||
        git fetch -q origin "$wanted" 3<&- || fail missing
    git checkout -q --detach "$wanted^{commit}" -- 3<&- || fail checkout
    case $(git rev-parse HEAD) in "$wanted"*) ;; *) fail missing ;; esac
    ;;
*)
    if git rev-parse -q --verify "HEAD^{commit}" >/dev/null; then
        git reset -q --hard 3<&- || fail checkout
    fi
    ;;
esac
mv -T "$draft" "$place" || fail occupied
end made
"""


class Failure(GatewayError):
    """A repository is not there. The message says why, to people."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class Checkouts:
    """The repositories of all sessions. `seconds` is how long one may take to clone."""

    def __init__(self, store: Store, seal: Seal, *, seconds: float) -> None:
        self._store = store
        self._seal = seal
        self._seconds = seconds

    async def token(self, resource: str) -> str | None:
        """The token of a repository as it is now, for the egress proxy.

        Raises:
            Denied: It cannot be read.
        """
        try:
            sealed = await self._store.repositories.token(resource=resource)
            return None if sealed is None else self._seal.open(sealed, row=row_of(resource))
        except (ApiError, NotOurs) as error:
            log.warning("token not readable", resource=resource, error=str(error))
            raise Denied("repository:token") from error

    async def missing(self, session: SessionRow) -> list[Mapping[str, Any]]:
        """The session's repositories that are not in its sandbox."""
        entries = [e for e in session.body["resources"] if e["type"] == "github_repository"]
        if not entries:
            return []
        layer = await self._layer(session.id)
        known = await self._store.repositories.layers(session=session.id)
        return [e for e in entries if layer is None or known.get(e["id"]) != layer]

    async def make(self, session: SessionRow, sandbox: Sandbox) -> list[Notice]:
        """Clone what is missing; returns what came of each that is missing still."""
        missing = await self.missing(session)
        layer = await self._layer(session.id)
        notices: list[Notice] = []
        slots = anyio.CapacityLimiter(_AT_ONCE)

        async def bring(entry: Mapping[str, Any]) -> None:
            async with slots:
                try:
                    await self._clone(entry, sandbox)
                    await self._remember(session, entry, layer, sandbox)
                except Failure as failure:
                    log.warning(
                        "repository not cloned",
                        session=session.id,
                        url=entry["url"],
                        kind=failure.kind,
                        error=str(failure),
                    )
                    notices.append(notice(entry, failure))

        async with anyio.create_task_group() as tasks:
            for entry in missing:
                tasks.start_soon(bring, entry)
        return notices

    async def _layer(self, session: str) -> int | None:
        row = await self._store.sandboxes.get(owner=session)
        return None if row is None else row.created_at

    async def _clone(self, entry: Mapping[str, Any], sandbox: Sandbox) -> None:
        found = repository.parse(entry["id"], entry["url"])
        try:
            with anyio.fail_after(self._seconds):
                try:
                    await _attempt(sandbox, entry, found, found.url)
                except Failure as failure:
                    # Some servers know it by this name only, and redirect without the credential.
                    if failure.kind not in ("authentication", "not_found"):
                        raise
                    try:
                        await _attempt(sandbox, entry, found, f"{found.url}.git")
                    except Failure:
                        raise failure from None
        except TimeoutError as error:
            text = f"{entry['url']} was not cloned within {self._seconds:g} seconds"
            raise Failure("clone", text) from error
        except (SandboxError, OSError) as error:
            raise Failure("clone", f"{entry['url']} was not cloned: {error}") from error

    async def _remember(
        self,
        session: SessionRow,
        entry: Mapping[str, Any],
        layer: int | None,
        sandbox: Sandbox,
    ) -> None:
        try:
            skills = await find_skills(sandbox, entry["mount_path"])
            await self._store.repositories.cloned(
                row=session,
                resource=entry["id"],
                layer=layer,
                skills=[asdict(skill) for skill in skills],
            )
        except (SandboxError, ApiError) as error:
            raise Failure("clone", f"{entry['url']} could not be looked at: {error}") from error
        log.info("repository cloned", session=session.id, url=entry["url"], skills=len(skills))


def row_of(resource: str) -> str:
    """What a token is sealed for."""
    return f"repositories/{resource}"


def notice(entry: Mapping[str, Any], failure: Failure) -> Notice:
    """The error that clients see (spec/core 8.3)."""
    kind = f"repository_{failure.kind}_error"
    return Notice(kind, str(failure), {"repository_url": entry["url"]})


async def _attempt(sandbox: Sandbox, entry: Mapping[str, Any], found: Repository, url: str) -> None:
    """Clone from one URL.

    Raises:
        Failure: It came to nothing; nothing of it is left.
    """
    place = entry["mount_path"]
    kind, wanted = _wanted(entry.get("checkout"))
    draft = f"{place.rpartition('/')[0]}/.cloning-{found.id}"
    status, said = await _run(sandbox, [url, place, draft, kind, wanted])
    match status:
        case "made" | "there":
            return
        case "missing":
            text = f"{entry['url']} has no {kind} {wanted}"
            raise Failure("checkout", text)
        case "checkout":
            why = repository.explain(found, said)[1]
            raise Failure("checkout", f"{entry['url']} could not be checked out: {why}")
        case "occupied":
            text = f"{entry['url']} was not cloned: there is something else at {place}"
            raise Failure("clone", text)
        case _:
            failure, why = repository.explain(found, said)
            raise Failure(failure, f"{entry['url']} {_SENTENCES[failure]}: {why}")


_SENTENCES: Mapping[Kind, str] = {
    "authentication": "wants an authorization_token that it accepts",
    "forbidden": "does not allow this authorization_token to read it",
    "not_found": "was not found, or is hidden from this authorization_token",
    "checkout": "could not be checked out",
    "clone": "could not be cloned",
}


def _wanted(checkout: Mapping[str, Any] | None) -> tuple[str, str]:
    if checkout is None:
        return "default", ""
    if checkout["type"] == "branch":
        return "branch", checkout["name"]
    return "commit", checkout["sha"].lower()


async def _run(sandbox: Sandbox, arguments: Sequence[str]) -> tuple[str, str]:
    """Run the script; returns how it ended, empty if it was killed, and the end of what it said."""
    marker = secrets.token_hex(16)
    output, total = b"", 0
    argv = ["/bin/sh", "-c", _SCRIPT, "sh", *arguments]
    channel = await sandbox.open("spawn", argv=argv, env={**_ENV, "MARKER": marker})
    async with aclosing(channel):
        while total < _MAX_OUTPUT and (data := await channel.receive()):
            total += len(data)
            output = (output + data)[-_MAX_TAIL:]
            if marker.encode() in output and output.endswith(b"\n"):
                break
    said, _, status = output.decode(errors="replace").rpartition(marker)
    return status.strip(), said if status else output.decode(errors="replace")
