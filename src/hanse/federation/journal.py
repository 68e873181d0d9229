"""The coordinator's own record: which silos it knows, which runs it began, and every reply it accepted.

A reply is journalled before the training advances on it, so a run that was cut off goes on where it stopped: the same
tasks are asked again, and what the journal holds is not asked twice. SHOW EGRESS reads from here.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from hanse.errors import FederationError, RegistryError, nearest
from hanse.messages import Reply, decode, encode
from hanse.registry_database import Database, federated_reply, federated_run, silo

__all__ = ["Journal", "Received", "Run", "SiloRecord", "shapes_of"]


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
                row = {"name_key": name.lower(), "name": name, "options": _plain(options), "created": _now()}
                connection.execute(silo.insert().values(**row))
        except RegistryError:
            raise FederationError(f"silo {name} exists already: DROP SILO {name} first") from None

    def silos(self) -> list[SiloRecord]:
        """All of them, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(silo).order_by(silo.c.name_key)).all()
        return [SiloRecord(r.name, msgspec.json.decode(r.options), r.created) for r in rows]

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
        parameters = msgspec.json.decode(row.parameters)
        return Run(row.run_id, row.model, row.statement, parameters, row.status, row.created)

    # -- replies ------------------------------------------------------------------------------

    def record(self, run_id: str, round_: int, silo_name: str, kind: str, reply: Reply | None) -> None:
        """Write a reply down, or (None) that the silo kept silent until the deadline; the first one stands."""
        data = b"" if reply is None else encode(reply)
        row = {"run_id": run_id, "round": round_, "silo": silo_name, "kind": kind, "received": _now(), "reply": data}
        try:
            with self._database.writing() as connection:
                connection.execute(federated_reply.insert().values(**row))
        except RegistryError:
            return

    def replies(self, run_id: str, round_: int) -> dict[str, Reply | None]:
        """What is known of a round: by silo its reply, or None where it kept silent."""
        query = sa.select(federated_reply).where(federated_reply.c.run_id == run_id, federated_reply.c.round == round_)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return {r.silo: decode(r.reply, Reply) if r.reply else None for r in rows}

    def received(self, model: str | None) -> Sequence[Received]:
        """All replies in order, of one model or of all."""
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
    return ", ".join(f"{name} {np.shape(value)}" for name, value in sorted(reply.statistics.items()))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _plain(data: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(dict(data))
