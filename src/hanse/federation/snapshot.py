"""A run's own copy of the published rows: a private file that all tasks of the run are answered from."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from hanse import expressions as e
from hanse.decoding import decoded
from hanse.engines.duckdb import DuckDB
from hanse.errors import HanseError
from hanse.federation.config import Publish, SiloConfig
from hanse.federation.database import Access
from hanse.federation.digest import Digest
from hanse.federation.refusals import RefusalError
from hanse.federation.source import Definition, Source, find, source_of

__all__ = ["Snapshot", "Snapshots", "few_of_store", "private_folder"]

_TOUCH_S: Final = 10.0

_ONE_THREAD_ROWS: Final = 122_880
"""DuckDB hands rows out to its threads by so many; for fewer, waking a second thread only costs."""

_HELD_NUMBERS: Final = 250_000
"""Rows with so many published numbers are held in memory, 4 to 6 MB in all: planning is what costs then."""

Integers = npt.NDArray[Any]


class _Meta(msgspec.Struct, frozen=True):
    """What a snapshot says of itself."""

    relation: str
    types: dict[str, str]
    canonical: str
    fingerprint: str
    rows: int
    customers: int


class Snapshot:
    """The copied rows: ``row_``, ``customer`` (a number), and ``c0``, ``c1`` ... for the published columns.

    With each column comes ``d0``, ``d1`` ...: the square of how far a row is from the mean of all rows, in units of the
    column's largest number. The gate judges by it who dominates, whatever units and origins a plan chooses.

    Args:
        path: of the file.
        publish: what it was copied from.

    Attributes:
        views: those of earlier tasks: columns and name, by what was asked.
    """

    def __init__(self, path: Path, publish: Publish) -> None:
        self.path = path
        self.publish = publish
        self.engine = DuckDB(path, read_only=True)
        self.meta = decoded(str(self.engine.rows("SELECT text FROM meta")[0][0]), _Meta)
        few = self.meta.rows <= _ONE_THREAD_ROWS
        if few:
            self.engine.execute("SET threads = 1")
        self.engine.lock()
        self._rows = "rows_"
        if few and self.meta.rows * len(self.meta.types) <= _HELD_NUMBERS:
            self._rows = "held"
            self.engine.hold(self._rows, "SELECT * FROM rows_")
        self._numbers = itertools.count()
        self._views: dict[tuple[str, ...], str] = {}
        self._classes: dict[str, tuple[int, int]] = {}
        self.views: dict[str, tuple[list[str], str]] = {}

    def close(self) -> None:
        """Close the file."""
        self.engine.close()

    @property
    def fingerprint(self) -> str:
        """Keyed hash of the content: equal for equal content, and nothing can be guessed from it."""
        return self.meta.fingerprint

    @property
    def types(self) -> Mapping[str, str]:
        """Engine types of the published columns."""
        return self.meta.types

    @property
    def one_row_each(self) -> bool:
        """Whether no customer has two rows."""
        return self.meta.rows == self.meta.customers

    @cached_property
    def customers(self) -> Integers:
        """(rows,) the customer of each row."""
        found: Integers = self.engine.arrays("SELECT customer FROM rows_ ORDER BY row_")["customer"]
        return found

    @cached_property
    def digest(self) -> Digest:
        """To compare with other snapshots."""
        key, rows, *columns = map(np.asarray, self.engine.arrays("SELECT * FROM digest ORDER BY key").values())
        return Digest(key, rows, np.column_stack([np.empty((len(key), 0), dtype=np.uint32), *columns]))

    def definition(self, features: Sequence[str]) -> str:
        """Hash of how these features come about."""
        return Definition.of(self.publish, self.meta.canonical, self.types, [self.named(f) for f in features]).hash

    def named(self, feature: str) -> str:
        """A published column as it is written there.

        Raises:
            RefusalError: it is not published.
        """
        for name in self.types:
            if name.lower() == feature.lower():
                return name
        raise RefusalError("schema", f"column {feature} of {self.meta.relation} is not published here")

    def column(self, feature: str) -> e.Expression:
        """A published column, as an expression over the snapshot's rows."""
        return e.column(f"c{list(self.types).index(self.named(feature))}")

    def far(self, feature: str) -> e.Expression:
        """How far a row is from the mean of a published column, squared, in units of the column's largest number."""
        return e.column(f"d{list(self.types).index(self.named(feature))}")

    def classes(self, label: str) -> tuple[int, int]:
        """Distinct customers with rows of label 0, and of label 1; counted once.

        Raises:
            RefusalError: the column is not published, or holds another number.
        """
        name = self.named(label)
        if name not in self._classes:
            column = self.engine.text(self.column(name))
            counts = ", ".join(f"count(DISTINCT customer) FILTER (WHERE {column} = {value})" for value in (0, 1))
            negative, positive, other = self.engine.rows(
                f"SELECT {counts}, count(*) FILTER (WHERE {column} NOT IN (0, 1)) FROM rows_"
            )[0]
            if other:
                raise RefusalError(
                    "data",
                    f"column {name} of {self.meta.relation} holds labels other than 0 and 1",
                    detail=f"{name} is neither 0 nor 1 in {other} rows: filter them out, or publish 0 and 1",
                    status="failed",
                )
            self._classes[name] = int(negative), int(positive)
        return self._classes[name]

    def view(self, columns: Mapping[str, e.Expression]) -> str:
        """A relation of ``row_``, ``customer`` and some expressions over the rows; made once."""
        texts = tuple(f"{self.engine.text(value)} AS {e.quote(name)}" for name, value in columns.items())
        if texts not in self._views:
            name = f"view_{next(self._numbers)}"
            listed = ", ".join(texts)
            self.engine.execute(f"CREATE TEMP VIEW {name} AS SELECT row_, customer, {listed} FROM {self._rows}")
            self._views[texts] = name
        return self._views[texts]


class Snapshots:
    """The snapshots of a silo's open runs.

    Args:
        config: of the silo.
        access: its way to the rows.
        secret: the silo's own key for hashes.
        clock: seconds since 1970.
    """

    def __init__(self, config: SiloConfig, access: Access, secret: bytes, clock: Callable[[], float]) -> None:
        self.config = config
        self._access = access
        self.folder = config.state / "snapshots"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._secret = secret
        self._clock = clock
        self._open: dict[Path, Snapshot] = {}
        self._touched: dict[Path, float] = {}
        self._path = functools.lru_cache(maxsize=256)(self._made_path)
        self.sweep()

    def close(self) -> None:
        """Close all files; open runs go on after a restart."""
        for path in list(self._open):
            snapshot = self._open.pop(path, None)
            if snapshot is not None:
                snapshot.close()

    def open(self, run: str, relation: str, store: str | None, deadline: float) -> Snapshot:
        """The run's snapshot, made at its first task.

        Args:
            run: the run's id, and the silo's.
            relation: the published relation.
            store: which store of it.
            deadline: how long to wait for the database, in seconds since 1970.

        Raises:
            RefusalError: not published, not readable, held by another process until the deadline, or unfit rows.
        """
        path = self._path(run, relation, store)
        snapshot = self._open.get(path)
        if snapshot is None:
            if path.exists():
                publish = find(self.config, None, relation) if self.config.publish else _embedded(relation)
                snapshot = Snapshot(path, publish)
            else:
                snapshot = self._make(path, relation, store, deadline)
            self._open[path] = snapshot
        if self._clock() >= self._touched.get(path, 0.0) + _TOUCH_S:
            os.utime(path)
            self._touched[path] = self._clock()
        return snapshot

    def _made_path(self, run: str, relation: str, store: str | None) -> Path:
        which = f"{relation.lower()}/{store or ''}"
        return self.folder / f"{_short(run)}-{_short(which)}.duckdb"

    def _make(self, path: Path, relation: str, store: str | None, deadline: float) -> Snapshot:
        self.sweep()
        temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
        try:
            with self._access.opened(deadline) as engine:
                publish = find(self.config, engine, relation)
                source = source_of(engine, publish, store)
                with _private(temporary) as copy:
                    copy.copy("raw", engine.copied(source.sql))
                    if store is not None:  # before anything is said of its rows
                        self._check_size(copy, store, publish.name)
                    _fill(copy, source, self._secret)
            temporary.replace(path)
        finally:
            for left in (temporary, Path(f"{temporary}.wal")):
                left.unlink(missing_ok=True)
        return Snapshot(path, publish)

    def _check_size(self, copy: DuckDB, store: str, relation: str) -> None:
        if copy.rows("SELECT count(DISTINCT customer) FROM raw")[0][0] < self.config.policy.min_customers:
            raise few_of_store(store, relation)

    def delete(self, run: str) -> None:
        """Delete what a run copied."""
        for path in self.folder.glob(f"{_short(run)}-*"):
            self._touched.pop(path, None)
            snapshot = self._open.pop(path, None)
            if snapshot is not None:
                snapshot.close()
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what nobody asked of for longer than the policy keeps it."""
        limit = self._clock() - self.config.policy.snapshot_hours * 3600
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    self._touched.pop(path, None)
                    snapshot = self._open.pop(path, None)
                    if snapshot is not None:
                        snapshot.close()
                    path.unlink()


@contextlib.contextmanager
def _private(path: Path) -> Iterator[DuckDB]:
    """A new database that its owner alone can read; closed and whole afterwards."""
    engine = DuckDB(path)
    try:
        path.chmod(0o600)
        yield engine
        engine.execute("CHECKPOINT")
    finally:
        engine.close()


def _fill(copy: DuckDB, source: Source, secret: bytes) -> None:
    """Check the raw rows, number them and their customers, and take digest and fingerprint."""
    columns = [f"c{i}" for i in range(len(source.types))]
    bad = ", ".join(f"count(*) FILTER (WHERE {c} IS NULL OR NOT isfinite({c}))" for c in columns)
    nameless, *counts = copy.rows(
        f"SELECT count(*) FILTER (WHERE customer IS NULL){', ' if bad else ''}{bad} FROM raw"
    )[0]
    _check_rows(source, int(nameless), [int(n) for n in counts])
    listed = ", ".join(columns)
    order = ", ".join(["customer", *columns])
    far = ", ".join(f"{square} AS d{i}" for i, square in enumerate(_far(copy, columns)))
    copy.execute(
        f"CREATE TABLE rows_ AS SELECT CAST(row_number() OVER (ORDER BY {order}) - 1 AS INTEGER) AS row_, "
        f"CAST(dense_rank() OVER (ORDER BY customer) - 1 AS INTEGER) AS customer, {listed}, {far} "
        "FROM raw ORDER BY row_"
    )
    key = copy.text(e.string(secret.hex()))
    short = ", ".join(f"CAST(hash(list_sort(list(hash({c})))) % {2**32} AS UINTEGER) AS {c}" for c in columns)
    copy.execute(
        f"CREATE TABLE digest AS SELECT hash(customer || {key}) AS key, "
        f"hash(list_sort(list(hash({listed})))) AS rows, {short} FROM raw GROUP BY customer ORDER BY key"
    )
    found = hmac.new(secret, digestmod=hashlib.sha256)
    for sql in (f"SELECT customer, {listed} FROM rows_ ORDER BY row_", "SELECT key, rows FROM digest ORDER BY key"):
        for name, array in copy.arrays(sql).items():
            found.update(f"{name} {len(array)}\n".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    rows, customers = copy.rows("SELECT count(*), count(DISTINCT customer) FROM rows_")[0]
    meta = _Meta(
        source.publish.name, dict(source.types), source.canonical, found.hexdigest(), int(rows), int(customers)
    )
    text = copy.text(e.string(msgspec.json.encode(meta).decode()))
    copy.execute(f"CREATE TABLE meta AS SELECT {text} AS text")


def _far(copy: DuckDB, columns: Sequence[str]) -> list[str]:
    """The expressions of ``d0``, ``d1`` ... over the raw rows: from 0 to 4, and 0 where all numbers are 0."""
    most = copy.rows(f"SELECT {', '.join(f'max(abs({c}))' for c in columns)} FROM raw")[0]
    units = [f"({c} / {m!r}::DOUBLE)" if m else "0.0::DOUBLE" for c, m in zip(columns, most, strict=True)]
    means = copy.rows(f"SELECT {', '.join(f'avg({unit})' for unit in units)} FROM raw")[0]
    return [f"power({unit} - {mean or 0.0!r}::DOUBLE, 2)" for unit, mean in zip(units, means, strict=True)]


def _check_rows(source: Source, nameless: int, bad: Sequence[int]) -> None:
    if nameless:
        customer = source.publish.customer
        raise RefusalError(
            "data",
            f"column {customer} of {source.publish.name} holds NULL: rows without a customer cannot be protected",
            detail=f"{customer} is NULL in {nameless} rows: filter them out",
            status="failed",
        )
    for name, count in zip(source.types, bad, strict=True):
        if count:
            raise RefusalError(
                "data",
                f"column {name} of {source.publish.name} holds NULL or numbers that are not finite",
                detail=f"{name} is NULL, NaN or infinite in {count} rows: filter them out or fill them",
                status="failed",
            )


def few_of_store(store: str, relation: str) -> RefusalError:
    """What is said of a store that is too small, and in the same words of one that there is not."""
    text = (
        f"store {store!r:.80} of {relation}: there is none of that name, or it has fewer customers than min_customers"
    )
    return RefusalError("small", f"{text}: nothing leaves")


def _embedded(relation: str) -> Publish:
    return Publish(name=relation, customer="customer_id", columns=None, relation=relation)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def private_folder(folder: Path) -> Path:
    """A folder that its owner alone can read.

    Raises:
        HanseError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise HanseError(f"{folder} cannot be made: {error.strerror}: check the silo's folder") from None
    return folder
