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
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import sqlalchemy as sa

from hanse.decoding import decoded
from hanse.errors import FederationError, RegistryError, WorkspaceError, nearest
from hanse.federation.tail import Row, Tail, ended, removed, rows_beside
from hanse.messages import Reply, encode
from hanse.registry_database import ConflictError, Database, federated_reply, federated_run, silo

__all__ = ["MUCH_BYTES", "Add", "Journal", "Received", "Run", "SiloRecord", "now", "shapes_of"]

MUCH_BYTES: Final = 1 << 20
"""So much is moved from the file into the database when there is time for it."""

_MOST_BYTES: Final = 8 * MUCH_BYTES

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
        """Note how a run ended; its replies are in the database then."""
        self.settle()
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

        Raises:
            WorkspaceError: what dead processes left in files cannot be moved.
        """
        file = self._database.file
        if file is None or os.name != "posix":
            yield
            return
        self._gather(file)
        outer, self._tail = self._tail, None  # a training may be begun while another reports its progress
        try:
            with contextlib.suppress(WorkspaceError):
                self._tail = Tail(file, run_id)
            yield
        finally:
            tail = self._tail
            try:
                with contextlib.suppress(WorkspaceError, RegistryError):  # what is left in the file stays in the record
                    self.settle()
            finally:
                self._tail = outer
                if tail is not None:
                    tail.close()

    @contextlib.contextmanager
    def recording(self, run_id: str, round_: int, kind: str) -> Iterator[Add]:
        """Write the replies of a round down; all that were given are when the block ends, however it does.

        Args:
            run_id: of the run.
            round_: which one.
            kind: of its tasks.
        """
        tail, rows, said_once = self._tail, [], False

        def add(silo_name: str, reply: Reply | None) -> None:
            nonlocal said_once
            said_once |= reply is None or reply.status != "ok"
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
            if tail is not None and said_once:  # silence and refusals would not come again in the same words
                tail.sync()
        self.settle(above_bytes=_MOST_BYTES)

    def settle(self, *, above_bytes: int = 0) -> None:
        """Move what stands in the file of the run that goes on into the database, if it is more than so much."""
        tail = self._tail
        if tail is not None and tail.size_bytes > above_bytes:
            self._insert(tail.rows)
            tail.clear()

    def _gather(self, file: Path) -> None:
        """Copy what stands in files into the database, and remove those of dead processes.

        What belongs to runs that are not in this database stays where it is.
        """
        with ended(file) as dead:
            rows = rows_beside(file)
            if not rows and not dead:
                return
            with self._database.reading() as connection:
                known = set(connection.scalars(sa.select(federated_run.c.run_id)))
            self._merge([row for row in rows if row.run_id in known])
            removed(path for path, run_id in dead.items() if run_id in known)

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
        """One transaction, in which others may have written the same."""
        columns = federated_reply.c
        if not rows:
            return
        with self._database.writing() as connection:
            for row in rows:
                key = [columns.run_id == row.run_id, columns.round == row.round, columns.silo == row.silo]
                found = connection.execute(sa.select(federated_reply).where(*key)).first()
                if found is None:
                    connection.execute(federated_reply.insert().values(**row.columns))
                elif row.stands_before(_row(found)):
                    connection.execute(federated_reply.update().where(*key).values(**row.columns))

    def replies(self, run_id: str) -> dict[int, dict[str, Reply | None]]:
        """What is known of a run: by round and silo its reply, or None where it kept silent."""
        found: dict[int, dict[str, Reply | None]] = {}
        for row in self._rows(federated_run.c.run_id == run_id):
            found.setdefault(row.round, {})[row.silo] = row.told()
        return found

    def silent(self, run_id: str, kind: str) -> list[str]:
        """The silos that kept silent when a run asked them for this."""
        rows = self._rows(federated_run.c.run_id == run_id)
        return sorted(row.silo for row in rows if row.kind == kind and not row.data)

    def received(self, model: str | None) -> Sequence[Received]:
        """All replies in order, of one model or of all."""
        of_model = sa.true() if model is None else federated_run.c.model_key == model.lower()
        with self._database.reading() as connection:
            columns = (federated_run.c.run_id, federated_run.c.model, federated_run.c.created)
            runs = {run.run_id: run for run in connection.execute(sa.select(*columns).where(of_model))}
        rows = [row for row in self._rows(of_model) if row.run_id in runs]
        return [
            Received(
                row.run_id,
                runs[row.run_id].model,
                row.round,
                row.silo,
                row.kind,
                row.received,
                len(row.data),
                row.told(),
            )
            for row in sorted(rows, key=lambda row: (runs[row.run_id].created, row.round, row.received))
        ]

    def _rows(self, of_runs: sa.ColumnElement[bool]) -> list[Row]:
        """The record of some runs."""
        file = self._database.file
        beside = [] if file is None else rows_beside(file)  # first, for they go into the database
        ids = sa.select(federated_run.c.run_id).where(of_runs)
        found: dict[tuple[str, int, str], Row] = {}
        with self._database.reading() as connection:
            for row in connection.execute(sa.select(federated_reply).where(federated_reply.c.run_id.in_(ids))):
                found[row.run_id, row.round, row.silo] = _row(row)
            wanted = set(connection.scalars(ids)) if beside else set()
        for one in beside:
            known = found.get(one.key)
            if one.run_id in wanted and (known is None or one.stands_before(known)):
                found[one.key] = one
        return list(found.values())


def _row(found: Any) -> Row:
    """A row of the database."""
    return Row(**{**found._asdict(), "reply": msgspec.Raw(found.reply or b"null")})


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
