"""Where a silo's rows are, a DuckDB file or tables on Spark, and the only way to them: opened to read, and let go."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hanse.engines.base import DatabaseInUseError, Engine
from hanse.errors import UsageError, WorkspaceError, nearest
from hanse.federation.refusals import RefusalError

if TYPE_CHECKING:
    from hanse.engines.spark_start import SharedSpark

__all__ = ["DATABASE_KEYS", "Access", "Database"]

_POLL_S: Final = 0.05
_TURNS: Final[dict[Path, threading.Lock]] = {}

_KEYS: Final = {"duckdb": ("database",), "spark": ("workspace", "master", "remote")}
DATABASE_KEYS: Final = ("engine", *(key for keys in _KEYS.values() for key in keys))
"""What silo.toml and CREATE SILO may say of it."""


@dataclass(frozen=True)
class Database:
    """Where a silo's rows are.

    Args:
        path: the DuckDB file; on Spark the workspace, in whose folder ``spark`` its tables are.
        engine: ``duckdb`` or ``spark``.
        master: where Spark is started, as Spark writes it; or
        remote: the Spark Connect server, whose catalog has the tables then.
    """

    path: Path
    engine: str = "duckdb"
    master: str | None = None
    remote: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], folder: Path) -> Database:
        """From the keys that silo.toml and CREATE SILO have in common.

        Args:
            given: texts by key, others than :data:`DATABASE_KEYS` left out.
            folder: what paths are relative to.

        Raises:
            UsageError: keys that are unknown, missing or do not go together.
        """
        for key, value in given.items():
            if not isinstance(value, str) or not value.strip():
                raise UsageError(f"{key} = {value!r}: need a text in quotes")
        engine = given.get("engine", "duckdb")
        if engine not in _KEYS:
            raise UsageError(f"engine = {engine!r}: {nearest(engine, _KEYS)}")
        for other, keys in _KEYS.items():
            for key in keys:
                if other != engine and key in given:
                    unsaid = "" if "engine" in given else ", as none is given"
                    raise UsageError(
                        f"{key} is for engine {other}, and the engine is {engine}{unsaid}: {_CURES[engine]}"
                    )
        place = _KEYS[engine][0]
        if place not in given:
            raise UsageError(f"{place} is missing: {_CURES[engine]}")
        if engine == "spark" and ("master" in given) == ("remote" in given):
            raise UsageError(f"engine spark needs one of master and remote: {_CURES[engine]}")
        path = folder / Path(given[place]).expanduser()
        return cls(path, engine, given.get("master"), given.get("remote"))

    def __str__(self) -> str:
        if self.engine == "duckdb":
            return f"database {self.path}"
        if self.remote is not None:
            return f"tables of Spark at {self.remote}, registry in {self.path}"
        return f"tables of Spark in {self.path / 'spark'}, read with master {self.master}"

    @property
    def registry(self) -> Path:
        """The silo's registry of models, beside its rows."""
        return (self.path.parent if self.engine == "duckdb" else self.path) / "registry.sqlite"

    @property
    def ledger(self) -> Path:
        """The ledger of an embedded silo without a file of its own, beside its rows, too."""
        return self.path.with_suffix(".ledger") if self.engine == "duckdb" else self.path / "spark.ledger"


_CURES: Final = {
    "duckdb": "write database = 'file.duckdb'; or engine = 'spark', workspace = 'DIR' and master = 'local[2]'",
    "spark": "write workspace = 'DIR' and either master = 'local[2]' (yarn ...) or remote = 'sc://host:15002'",
}


class Access:
    """A silo's way to its rows.

    On DuckDB the file is opened read-only, without access to anything else, and its configuration locked. Spark has no
    such lock: there the agent has a session of its own, whose tables are views of it, and an engine that refuses what
    is no query. Neither is open for longer than a copy takes; Spark itself runs on, as it takes seconds to start.

    Args:
        database: where the rows are.
        state: the silo's private folder, for what Spark writes beside tables.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, state: Path, clock: Callable[[], float]) -> None:
        self._database = database
        self._scratch = state / "spark"
        self._clock = clock
        self._stop = threading.Event()

    def prepare(self) -> None:
        """Start Spark, if that is what holds the rows, so that the first task need not wait for it.

        Raises:
            UsageError: pyspark or Java is missing.
            EngineError: Spark does not start, or cannot be reached.
        """
        if self._database.engine == "spark":
            session = self._spark.session()
            if self._database.remote is not None:
                session.stop()

    def close(self) -> None:
        """Let go; whoever waits for the database waits no longer."""
        self._stop.set()
        if "_spark" in self.__dict__:
            self._spark.close()
            shutil.rmtree(self._scratch / str(os.getpid()), ignore_errors=True)

    @contextlib.contextmanager
    def opened(self, deadline: float) -> Iterator[Engine]:
        """The rows, to be read and nothing else; waits while another process may write to them.

        The stores of one dataset take turns: within a process DuckDB opens a file once, for all of its connections.

        Args:
            deadline: how long to wait, in seconds since 1970.

        Raises:
            RefusalError: they are held until the deadline.
            HanseError: they cannot be read.
        """

        def wait(why: str) -> None:
            if self._clock() >= deadline or self._stop.wait(_POLL_S):
                text = "the store's own loader held the database until the task expired"
                raise RefusalError("busy", text, detail=why, status="failed")

        turn = _TURNS.setdefault(self._database.path, threading.Lock())
        while not turn.acquire(blocking=False):
            wait(f"{self._database.path} is being copied for other stores")
        try:
            while True:
                try:
                    engine = self._engine()
                    break
                except DatabaseInUseError as error:
                    wait(str(error))
            try:
                yield engine
            finally:
                engine.close()
        finally:
            turn.release()

    def _engine(self) -> Engine:
        if self._database.engine == "duckdb":
            from hanse.engines.duckdb import DuckDB

            return DuckDB(self._database.path, read_only=True, locked=True)
        from hanse.engines.spark import Spark

        path, remote = self._database.path, self._database.remote
        if not path.is_dir():
            raise WorkspaceError(f"workspace {path} does not exist: check the path, or create it first")
        session = self._spark.session()
        folder = path / "spark" if remote is None else None
        return Spark(session, folder=folder, owned=remote is not None, read_only=True)

    @cached_property
    def _spark(self) -> SharedSpark:
        from hanse.engines.spark_start import SharedSpark

        _sweep(self._scratch)
        folder = self._scratch / str(os.getpid())
        return SharedSpark(master=self._database.master, remote=self._database.remote, folder=folder)


def _sweep(scratch: Path) -> None:
    """Delete what silos that were killed left behind: a folder for each process."""
    for folder in scratch.glob("[0-9]*"):
        try:
            os.kill(int(folder.name), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue
