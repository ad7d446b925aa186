"""What is kept of a session's repositories beside the resources that clients see.

Tokens are sealed before they come here (`gateway.vault.seal`), and never shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select, update

from gateway.errors import NotFound
from gateway.store import columns, journal
from gateway.store.engine import Database, Tx
from gateway.store.records import Change, Locked, SessionRow
from gateway.store.schema import repositories as table
from gateway.store.schema import sessions

Json = dict[str, Any]

SKILLS = "repository_skills"
"""Where the body of a session holds what `Repositories.cloned` found: a list for each resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRow:
    """One repository of a session that is being made."""

    resource: str
    token: bytes | None
    """Sealed; None for a repository that everybody may read."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories of all sessions."""

    _db: Database

    async def token(self, *, resource: str) -> bytes | None:
        """The sealed token; None if there is none, or no such resource."""
        query = select(table.c.token).where(table.c.resource == resource)
        return await self._db.read(lambda tx: tx.execute(query).scalar())

    async def layers(self, *, session: str) -> dict[str, int | None]:
        """For each resource: the birth of the sandbox into which it was cloned last."""
        query = select(table.c.resource, table.c.layer).where(table.c.session == session)
        rows = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return {row.resource: row.layer for row in rows}

    async def rotate(
        self,
        *,
        session: str,
        workspace: str,
        resource: str,
        token: bytes,
        now: int,
        change: Callable[[SessionRow, Json], Json],
    ) -> Json:
        """Replace a token; `change` sees the session locked and gives the resource's new look.

        Raises:
            NotFound: No such session in this workspace, or no such resource in it.
            ApiError: Whatever `change` refuses with.
        """

        def write(tx: Tx) -> Json:
            changed: list[Json] = []

            def turn(found: Locked) -> Change:
                row = found.session
                entries: list[Json] = row.body["resources"]
                new = [change(row, e) if e.get("id") == resource else e for e in entries]
                changed.extend(e for e in new if e.get("id") == resource)
                if not changed:
                    raise NotFound(f"resource {resource} not found")
                return Change(session=replace(row, body={**row.body, "resources": new}))

            journal.append_now(tx, session=session, workspace=workspace, now=now, change=turn)
            tx.execute(update(table).where(table.c.resource == resource).values(token=token))
            return changed[0]

        return await self._db.write(write)

    async def cloned(
        self, *, row: SessionRow, resource: str, layer: int | None, skills: Sequence[Json]
    ) -> None:
        """A repository was cloned into the sandbox born at `layer`; its first skills are kept.

        Raises:
            NotFound: The session was deleted.
        """
        await self._db.write(lambda tx: _cloned(tx, row, resource, layer, skills))


def put(tx: Tx, session: str, rows: Sequence[RepositoryRow]) -> None:
    """Write the repositories of a new session, as part of the caller's transaction."""
    for row in rows:
        values = {"resource": row.resource, "session": session, "token": row.token}
        tx.execute(insert(table).values(**values, layer=None))


def _cloned(
    tx: Tx, row: SessionRow, resource: str, layer: int | None, skills: Sequence[Json]
) -> None:
    body = journal.lock(tx, row.id, row.workspace).session.body
    tx.execute(update(table).where(table.c.resource == resource).values(layer=layer))
    known: Mapping[str, Any] = body.get(SKILLS) or {}
    if resource not in known:
        told = {**body, SKILLS: {**known, resource: list(skills)}}
        here = update(sessions).where(sessions.c.id == row.id)
        tx.execute(here.values(body=columns.to_json(told)))
