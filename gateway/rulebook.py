"""The set of policies in force, and the one place that changes which that is.

    directory -> files -> `read_bundle`, aside, in a thread -> one reference is replaced

Whoever judges works with one immutable set. What is empty, broken or unreachable replaces nothing:
the last good set stays in force, also over a restart, and `status` says so.
"""

import signal
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog

from gateway.clock import Clock, rfc3339
from gateway.errors import GatewayError, StartError
from gateway.policy.bundle import CASES, DECIDES, digest_files, read_bundle, select_files
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.decide import Outcome
from gateway.policy.enterprise import Ruling
from gateway.policy.facts import CallFacts, Facts, ToolFacts
from gateway.policy.grants import Grants, Narrowing
from gateway.policy.rules import RuleInvalid
from gateway.policy.ruleset import Rules
from gateway.settings.policy import PolicySettings
from gateway.store.audit import AuditRecord
from gateway.store.policies import PolicySetRow
from gateway.store.store import Store
from gateway.switches import Switches

__all__ = ["Judgement", "Rulebook", "Rules", "read_directory"]

log = structlog.get_logger()

READ_SECONDS = 20.0
"""How long a directory may take to be read: it may be on a network."""
MAX_BYTES = 64 * 1024**2
"""Of all files of a set together."""
_ATTEMPTS = 5
"""How often a directory that changes under the reader is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of one call."""

    ruling: Ruling | None
    """None where there is no enterprise policy."""
    shadow: Ruling | None
    digest: str
    """Of the set that said so."""
    enforced: bool
    """False while enforcement is switched off: the ruling is recorded and decides nothing."""
    switch: str = ""
    """Why a kill switch stops the call; empty if none does."""
    session: Outcome = "allow"
    """What the session's own rules leave of it, whoever is enforced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is in force, for people."""

    digest: str
    loaded_at: int | None
    """When it came into force here."""
    policies: int
    shadow_policies: int
    tools: int
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Why the directory as it is now is not in force; empty if it is."""

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "type": "policy",
            "digest": self.digest,
            "loaded_at": None if self.loaded_at is None else rfc3339(self.loaded_at),
            "policies": self.policies,
            "shadow_policies": self.shadow_policies,
            "tools": self.tools,
            "warnings": list(self.warnings),
            "problems": list(self.problems),
        }


class Rulebook:
    """Judges calls by what is in force. `open` comes first."""

    def __init__(self, settings: PolicySettings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._rules = Rules()
        self._narrowing = Narrowing()
        self._loaded_at: int | None = None
        self._problems: tuple[str, ...] = ()
        self._broken: tuple[str, tuple[str, ...]] = ("", ())
        """Files that could not be used, by digest, and why: they are not tried all the time."""
        self._loading = anyio.Lock()
        self.switches = Switches(store, clock)

    @property
    def rules(self) -> Rules:
        """What is in force now; take it once for each call."""
        return self._rules

    def judge(self, call: CallFacts, facts: Facts) -> Judgement:
        """Judge one call by what is in force now. Never raises, never waits."""
        rules = self._rules
        return Judgement(
            ruling=rules.enterprise and rules.enterprise.decide(call, facts),
            shadow=rules.shadow and rules.shadow.decide(call, facts),
            digest=rules.digest,
            enforced=self.switches.enforced(facts.now),
            switch=self.switches.stopping(call, facts),
            session=self._left(call, facts),
        )

    def check_grants(self, grants: Grants) -> None:
        """Make sure that a session's rules can be followed.

        Raises:
            RuleInvalid: One is malformed, or matches no tool that there is; it is named.
        """
        if any(grants):
            self._narrowing.policies(grants)

    def _left(self, call: CallFacts, facts: Facts) -> Outcome:
        grants = Grants(*facts.session.grants)
        if not any(grants):
            return "allow"
        unanswered = replace(facts, approval=None)
        try:
            return self._narrowing.policies(grants).decide(call, unanswered).outcome
        except RuleInvalid:  # what it names is not there any more
            return "deny"

    def reachable(self, tool: ToolFacts, facts: Facts) -> bool:
        """Whether some arguments of the tool could be allowed or asked, now or later.

        Of the facts only who and what count: agent, user and server. It never hides what could be
        called; see `Enterprise.reachable` for what it may show all the same.
        """
        if self.switches.stopping_tool(tool, facts) or not self._is_left(tool, facts):
            return False
        enterprise = self._rules.enterprise
        if enterprise is None or not self.switches.enforced(facts.now):
            return True
        return enterprise.reachable(tool, facts)

    def _is_left(self, tool: ToolFacts, facts: Facts) -> bool:
        grants = Grants(*facts.session.grants)
        try:
            return not any(grants) or self._narrowing.policies(grants).reachable(tool, facts)
        except RuleInvalid:
            return False

    def status(self) -> Status:
        """What is in force, and what is wrong with what is not."""
        rules = self._rules
        return Status(
            digest=rules.digest,
            loaded_at=self._loaded_at,
            policies=len(rules.enterprise.policies) if rules.enterprise else 0,
            shadow_policies=_extra(rules),
            tools=len(rules.enterprise.vocabulary.tools) if rules.enterprise else 0,
            warnings=rules.warnings,
            problems=self._problems,
        )

    async def open(self) -> None:
        """Bring the directory's set into force, or the last one that was.

        Raises:
            StartError: It cannot be used, and no set was ever in force.
        """
        await self.switches.refresh()
        if self._settings.directory is None:
            return
        await self.reload()
        if self._rules.enterprise is None:
            await self._recall()

    async def reload(self) -> Status:
        """Look at the directory, and bring what is there into force if it is good and new."""
        directory = self._settings.directory
        if directory is None:
            return self.status()
        async with self._loading:
            try:
                with anyio.fail_after(READ_SECONDS):
                    files = await anyio.to_thread.run_sync(
                        _read_settled, directory, abandon_on_cancel=True
                    )
                await self._take(files)
            except (PolicyInvalid, TimeoutError) as error:
                self._refuse(error.problems if isinstance(error, PolicyInvalid) else (_SILENT,))
        return self.status()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Follow the directory, SIGHUP and the switches until the exit."""
        async with anyio.create_task_group() as tasks, self.switches.running():
            if self._settings.directory is not None:
                tasks.start_soon(self._watch)
                if threading.current_thread() is threading.main_thread():
                    tasks.start_soon(self._listen)
            yield
            tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        while True:
            await anyio.sleep(self._settings.reload_seconds)
            await self._reload_or_tell()

    async def _listen(self) -> None:
        with anyio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                await self._reload_or_tell()

    async def _reload_or_tell(self) -> None:
        try:
            await self.reload()
        except GatewayError as error:
            log.warning("cannot write down the policies in force", reason=str(error))

    async def _take(self, files: Mapping[str, str]) -> None:
        digest = digest_files(files)
        if digest == self._rules.digest:
            self._problems = ()
            return
        if digest == self._broken[0]:
            self._refuse(self._broken[1])
            return
        try:
            rules = await anyio.to_thread.run_sync(read_bundle, files)
        except PolicyInvalid as error:
            self._broken = (digest, error.problems)
            self._refuse(error.problems)
            return
        row = PolicySetRow(digest, select_files(files), self._clock.now())
        await self._store.policy_sets.put(row=row, record=self._record(rules))
        self._swap(rules)
        self._problems = ()

    async def _recall(self) -> None:
        row = await self._store.policy_sets.last()
        reason = "; ".join(self._problems[:3])
        if row is None:
            raise StartError(f"the policies cannot be used: {reason}")
        try:
            rules = await anyio.to_thread.run_sync(read_bundle, row.files)
        except PolicyInvalid as error:
            raise StartError(
                f"the policies cannot be used: {reason}; neither can the last good ones: {error}"
            ) from error
        self._swap(rules)
        log.warning("the last good policies are in force", digest=row.digest, reason=reason)

    def _swap(self, rules: Rules) -> None:
        before, self._rules = self._rules.digest, rules
        self._narrowing = (
            Narrowing(rules.enterprise.vocabulary) if rules.enterprise else Narrowing()
        )
        self._loaded_at = self._clock.now()
        log.info("policies in force", digest=rules.digest, before=before)
        for warning in rules.warnings:
            log.warning("policy", warning=warning)

    def _refuse(self, problems: tuple[str, ...]) -> None:
        """Say once what is wrong; what is in force stays."""
        if self._problems != problems:
            log.error(
                "the policies cannot be used; those in force stay",
                digest=self._rules.digest,
                problems=list(problems[:10]),
            )
        self._problems = problems

    def _record(self, rules: Rules) -> AuditRecord:
        return AuditRecord(
            id=self._clock.new_id("audit"),
            at=self._clock.now(),
            kind="policy",
            workspace=None,
            session=None,
            event=None,
            actor=None,
            tool=None,
            outcome="in_force",
            body={"policy_set": rules.digest, "before": self._rules.digest},
        )


_SILENT = f"the directory does not answer within {READ_SECONDS:g} seconds"


def read_directory(directory: Path) -> dict[str, str]:
    """The text of every file of a policy directory, its cases included, by its path in there.

    Raises:
        PolicyInvalid: It cannot be read, is too large, or a file is not text.
    """
    files: dict[str, str] = {}
    room = MAX_BYTES
    try:
        if not directory.is_dir():
            raise PolicyInvalid([f"{directory}: there is no such directory"])
        for pattern in (*DECIDES, CASES):
            for path in sorted(directory.glob(pattern)):
                with path.open("rb") as file:
                    content = file.read(room + 1)
                room -= len(content)
                if room < 0:
                    raise PolicyInvalid([f"{directory}: more than {MAX_BYTES >> 20} MiB"])
                files[path.relative_to(directory).as_posix()] = content.decode()
    except UnicodeDecodeError as error:
        raise PolicyInvalid([f"{directory}: a file is not UTF-8: {error}"]) from error
    except OSError as error:
        raise PolicyInvalid([f"{error.filename}: {error.strerror}"]) from error
    return files


def _read_settled(directory: Path) -> dict[str, str]:
    """The files, read twice alike: not while somebody is still writing them."""
    files = read_directory(directory)
    for _ in range(_ATTEMPTS):
        again = read_directory(directory)
        if again == files:
            return files
        files = again
    raise PolicyInvalid([f"{directory}: changes all the time"])


def _extra(rules: Rules) -> int:
    """How many shadow policies there are."""
    if rules.shadow is None or rules.enterprise is None:
        return 0
    return len(rules.shadow.policies) - len(rules.enterprise.policies)
