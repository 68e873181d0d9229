"""The coordinator's own record: which silos it knows, which runs it began, and every reply it accepted.

A reply is journalled before the training advances on it, so a run that was cut off goes on where it stopped: the same
tasks are asked again, and what the journal holds is not asked twice. SHOW EGRESS reads from here. What a training has
just received stands in a file beside the database for a while: see :mod:`hanse.federation.tail`.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import sqlalchemy as sa

from hanse.decoding import decoded
from hanse.errors import FederationError, RegistryError, WorkspaceError, nearest
from hanse.federation.tail import Row, Tail, rows_of, tails
from hanse.messages import Reply, decode, encode
from hanse.registry_database import ConflictError, Database, federated_reply, federated_run, silo

__all__ = ["Add", "Journal", "Received", "Run", "SiloRecord", "now", "shapes_of"]

_LONG_TAIL_BYTES: Final = 1 << 20

Add = Callable[[str, Reply | None], None]
"""Takes a silo's reply, or None where it kept silent until the deadline."""


@dataclass(frozen=True)
class SiloRecord:
    """A silo as CREATE SILO named it."""

    name: str
    options: Mapping[str, Any]
    created: str


@dataclass(frozen=True)
class Run:
    """One federated training.

    Args:
        run_id: a UUID in hex.
        model: the model's name.
        statement: the statement's text.
        parameters: as they were bound, as plain data.
        status: ``open``, ``done`` or ``failed``.
        created: ISO-8601, UTC.
    """

    run_id: str
    model: str
    statement: str
    parameters: Mapping[str, Any]
    status: str
    created: str

    @classmethod
    def new(cls, model: str, statement: str, parameters: Mapping[str, Any], status: str = "open") -> Run:
        """A run that begins now."""
        return cls(uuid.uuid4().hex, model, statement, parameters, status, now())


@dataclass(frozen=True)
class Received:
    """One reply of the record, or a silo's silence."""

    run_id: str
    model: str
    round: int
    silo: str
    kind: str
    received: str
    size_bytes: int
    reply: Reply | None


class Journal:
    """The record, beside the models in the registry's database.

    Args:
        database: opened; shared with the registry or a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tail: Tail | None = None

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # -- silos --------------------------------------------------------------------------------

    def add_silo(self, name: str, options: Mapping[str, Any]) -> None:
        """Remember a silo; nobody is contacted.

        Raises:
            FederationError: the name is taken.
        """
        try:
            with self._database.writing() as connection:
                row = {"name_key": name.lower(), "name": name, "options": _plain(options), "created": now()}
                connection.execute(silo.insert().values(**row))
        except RegistryError:
            raise FederationError(f"silo {name} exists already: DROP SILO {name} first") from None

    def silos(self) -> list[SiloRecord]:
        """All of them, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(silo).order_by(silo.c.name_key)).all()
        return [SiloRecord(r.name, decoded(r.options, dict[str, Any]), r.created) for r in rows]

    def find_silo(self, name: str) -> SiloRecord:
        """One of them.

        Raises:
            FederationError: there is none of that name.
        """
        known = {record.name.lower(): record for record in self.silos()}
        if name.lower() not in known:
            names = [record.name for record in known.values()]
            raise FederationError(f"unknown silo {name}: {nearest(name, names)}; CREATE SILO {name} makes it known")
        return known[name.lower()]

    def drop_silo(self, name: str) -> None:
        """Forget a silo; its ledger and its data are its own.

        Raises:
            FederationError: there is none of that name.
        """
        self.find_silo(name)
        with self._database.writing() as connection:
            connection.execute(silo.delete().where(silo.c.name_key == name.lower()))

    # -- runs ---------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Write a run down before anybody is asked."""
        with self._database.writing() as connection:
            connection.execute(
                federated_run.insert().values(
                    run_id=run.run_id,
                    model_key=run.model.lower(),
                    model=run.model,
                    statement=run.statement,
                    parameters=_plain(run.parameters),
                    status=run.status,
                    created=run.created,
                )
            )

    def finish(self, run_id: str, status: str) -> None:
        """Note how a run ended."""
        with self._database.writing() as connection:
            connection.execute(federated_run.update().where(federated_run.c.run_id == run_id).values(status=status))

    def last_run(self, model: str) -> Run | None:
        """The model's latest training; runs that only measured it have no statement."""
        query = sa.select(federated_run).where(
            federated_run.c.model_key == model.lower(), federated_run.c.statement != ""
        )
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(federated_run.c.created.desc()).limit(1)).first()
        if row is None:
            return None
        parameters = decoded(row.parameters, dict[str, Any])
        return Run(row.run_id, row.model, row.statement, parameters, row.status, row.created)

    # -- replies ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def busy(self, run_id: str) -> Iterator[None]:
        """While the block lasts, round follows round: replies are written down in a file; see :meth:`settle`.

        Where there can be no such file, every round is a commit.
        """
        with contextlib.suppress(WorkspaceError):
            if self._database.file is not None and os.name == "posix":
                self._tail = Tail(self._database.file, run_id)
        try:
            yield
        finally:
            tail, self._tail = self._tail, None
            if tail is not None:
                with contextlib.suppress(WorkspaceError):  # then whoever reads the record moves it
                    self._move(tail)
                tail.close()

    @contextlib.contextmanager
    def recording(self, run_id: str, round_: int, kind: str) -> Iterator[Add]:
        """Write the replies of a round down; all that were given are when the block ends, however it does.

        Args:
            run_id: of the run.
            round_: which one.
            kind: of its tasks.
        """
        tail, rows = self._tail, []

        def add(silo_name: str, reply: Reply | None) -> None:
            data = msgspec.Raw(b"null" if reply is None else encode(reply))
            row = Row(run_id=run_id, round=round_, silo=silo_name, kind=kind, received=now(), reply=data)
            if tail is None:
                rows.append(row)
            else:
                tail.add(row)

        try:
            yield add
        finally:
            self._insert(rows)

    def settle(self) -> None:
        """Move replies of earlier rounds into the database, if there are many; a thing to do while silos work."""
        if self._tail is not None and self._tail.size_bytes > _LONG_TAIL_BYTES:
            self._move(self._tail)

    def _move(self, tail: Tail) -> None:
        self._insert(tail.rows)
        tail.clear()

    def _gather(self, run_id: str | None = None) -> None:
        """Copy what stands in files, of one run or of all, into the database; those of dead processes go."""
        if self._database.file is not None:
            for path in tails(self._database.file, run_id):
                with contextlib.suppress(WorkspaceError), rows_of(path) as rows:  # whoever may write does it later
                    if rows and self._has_run(rows[0].run_id):
                        self._merge(rows)

    def _has_run(self, run_id: str) -> bool:
        with self._database.reading() as connection:
            query = sa.select(federated_run.c.run_id).where(federated_run.c.run_id == run_id)
            return connection.scalar(query) is not None

    def _insert(self, rows: Sequence[Row]) -> None:
        """One transaction."""
        if not rows:
            return
        try:
            with self._database.writing() as connection:
                connection.execute(federated_reply.insert(), [row.columns for row in rows])
        except ConflictError:  # a silo kept silent before, or another process resumes the same run and was first
            self._merge(rows)

    def _merge(self, rows: Sequence[Row]) -> None:
        """Of two replies the first stands; one that comes after silence is kept."""
        columns = federated_reply.c
        if not rows:
            return
        with self._database.writing() as connection:
            for row in [row.columns for row in rows]:
                key = [columns[name] == row[name] for name in ("run_id", "round", "silo")]
                known = connection.scalar(sa.select(sa.func.length(columns.reply)).where(*key))
                if known is None:
                    connection.execute(federated_reply.insert().values(**row))
                elif not known and row["reply"]:
                    connection.execute(federated_reply.update().where(*key).values(**row))

    def replies(self, run_id: str) -> dict[int, dict[str, Reply | None]]:
        """What is known of a run: by round and silo its reply, or None where it kept silent."""
        self._gather(run_id)
        query = sa.select(federated_reply).where(federated_reply.c.run_id == run_id)
        found: dict[int, dict[str, Reply | None]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query):
                found.setdefault(row.round, {})[row.silo] = decode(row.reply, Reply) if row.reply else None
        return found

    def silent(self, run_id: str, kind: str) -> list[str]:
        """The silos that kept silent when a run asked them for this."""
        self._gather(run_id)
        query = sa.select(federated_reply.c.silo).where(
            federated_reply.c.run_id == run_id,
            federated_reply.c.kind == kind,
            sa.func.length(federated_reply.c.reply) == 0,
        )
        with self._database.reading() as connection:
            return sorted(connection.scalars(query))

    def received(self, model: str | None) -> Sequence[Received]:
        """All replies in order, of one model or of all."""
        self._gather()
        query = (
            sa.select(federated_reply, federated_run.c.model)
            .join(federated_run, federated_run.c.run_id == federated_reply.c.run_id)
            .order_by(federated_run.c.created, federated_reply.c.round, federated_reply.c.received)
        )
        if model is not None:
            query = query.where(federated_run.c.model_key == model.lower())
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [
            Received(
                r.run_id,
                r.model,
                r.round,
                r.silo,
                r.kind,
                r.received,
                len(r.reply),
                decode(r.reply, Reply) if r.reply else None,
            )
            for r in rows
        ]


def shapes_of(reply: Reply) -> str:
    """The names and shapes of a reply's statistics: ``count (3,), sum (3, 4)``."""
    return ", ".join(f"{name} {_shape(value)}" for name, value in sorted(reply.statistics.items()))


def _shape(value: Any) -> str:
    try:
        return str(np.shape(value))
    except ValueError:  # lists of different lengths
        return "(ragged)"


def now() -> str:
    """This moment: ISO-8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _plain(data: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(dict(data))
