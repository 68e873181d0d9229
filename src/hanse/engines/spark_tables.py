"""Where Spark's tables live: in the session's own catalog, or in a workspace's folder; nothing here needs Spark."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hanse.engines.base import DatabaseInUseError
from hanse.engines.spark_text import name_of, quoted
from hanse.errors import UsageError, WorkspaceError

__all__ = ["CatalogTables", "FolderTables", "ReadTables"]

Run = Callable[[str], Any]
"""Runs a statement of Spark's."""


class CatalogTables:
    """Tables of the session's catalog, in whatever format it is set up for.

    A table comes into sight under its name only when all its rows are there.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def close(self) -> None:
        """Nothing is open."""

    def create(self, parts: Sequence[str], sql: str, *, replace: bool) -> None:
        """CREATE TABLE AS."""
        made = [*parts[:-1], f"hanse_rows_{secrets.token_hex(6)}"]
        try:
            self._run(f"CREATE TABLE {name_of(made)} AS {sql}")
        except BaseException:
            with contextlib.suppress(Exception):
                self._run(f"DROP TABLE IF EXISTS {name_of(made)}")
            raise
        self._rename(made, parts, replace)

    def create_empty(self, parts: Sequence[str], columns: str, *, replace: bool) -> None:
        """CREATE TABLE with columns."""
        made = [*parts[:-1], f"hanse_rows_{secrets.token_hex(6)}"]
        self._run(f"CREATE TABLE {name_of(made)} ({columns})")
        self._rename(made, parts, replace)

    def _rename(self, made: Sequence[str], parts: Sequence[str], replace: bool) -> None:
        try:
            if replace:
                self._run(f"DROP TABLE IF EXISTS {name_of(parts)}")
            self._run(f"ALTER TABLE {name_of(made)} RENAME TO {name_of(parts)}")
        except BaseException:
            with contextlib.suppress(Exception):
                self._run(f"DROP TABLE IF EXISTS {name_of(made)}")
            raise

    def create_view(self, parts: Sequence[str], named: str, sql: str, *, replace: bool) -> None:
        """CREATE VIEW."""
        self._run(f"CREATE {'OR REPLACE ' * replace}VIEW {name_of(parts)}{named} AS {sql}")

    def drop(self, parts: Sequence[str], *, view: bool) -> None:
        """DROP TABLE or DROP VIEW."""
        self._run(f"DROP {'VIEW' if view else 'TABLE'} {name_of(parts)}")


class FolderTables:
    """Tables of a workspace, each a folder of parquet files; ``tables.json`` says which folder is whose.

    Spark's own catalog forgets when its process ends; a metastore that does not would take seconds to start. The list
    is replaced whole, after the rows are written: a table is the old one or the new one, never a part.

    Args:
        run: runs a statement.
        folder: of the workspace.

    Raises:
        WorkspaceError: another process works in it, or the list cannot be read.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._lock = _locked(folder / "lock")
        self._list = folder / "tables.json"
        try:
            self._known = _known(self._list)
            for name, table in self._known["tables"].items():
                self._attach(name, table)
            _attach_views(self._run, "VIEW", self._known["views"])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other processes in."""
        os.close(self._lock)

    def _save(self) -> None:
        new = self._list.with_suffix(".new")
        new.write_text(json.dumps(self._known, indent=1))
        new.replace(self._list)

    def _attach(self, name: str, table: dict[str, str]) -> None:
        place = _literal(self._folder / table["folder"])
        self._run(f"CREATE TABLE {quoted(name)} ({table['columns']}) USING parquet LOCATION {place}")

    def create(self, parts: Sequence[str], sql: str, *, replace: bool) -> None:
        """CREATE TABLE AS."""
        name, place = self._place(parts)
        frame = self._run(sql)
        try:
            frame.write.parquet(str(place))
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        columns = ", ".join(f"{quoted(field.name)} {field.dataType.simpleString()}" for field in frame.schema.fields)
        self._put(name, place, columns, replace)

    def create_empty(self, parts: Sequence[str], columns: str, *, replace: bool) -> None:
        """CREATE TABLE with columns."""
        name, place = self._place(parts)
        place.mkdir()
        self._put(name, place, columns, replace)

    def _place(self, parts: Sequence[str]) -> tuple[str, Path]:
        if len(parts) != 1:
            raise UsageError(f"table {'.'.join(parts)}: a workspace on Spark has no schemas: leave out the part before")
        return parts[0], self._folder / f"t{secrets.token_hex(6)}"

    def _put(self, name: str, place: Path, columns: str, replace: bool) -> None:
        old = self._key(name)
        try:
            if replace and old is not None:
                self._run(f"DROP TABLE IF EXISTS {quoted(name)}")
            table = {"folder": place.name, "columns": columns}
            self._attach(name, table)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            if old is not None:
                with contextlib.suppress(Exception):
                    self._attach(old, self._known["tables"][old])
            raise
        before = self._known["tables"].pop(old, None) if old is not None else None
        self._known["tables"][name] = table
        self._save()
        if before is not None:
            shutil.rmtree(self._folder / before["folder"], ignore_errors=True)

    def _key(self, name: str) -> str | None:
        return next((known for known in self._known["tables"] if known.lower() == name.lower()), None)

    def create_view(self, parts: Sequence[str], named: str, sql: str, *, replace: bool) -> None:
        """CREATE VIEW."""
        if len(parts) != 1:
            raise UsageError(f"view {'.'.join(parts)}: a workspace on Spark has no schemas: leave out the part before")
        self._run(f"CREATE {'OR REPLACE ' * replace}VIEW {quoted(parts[0])}{named} AS {sql}")
        self._forget_view(parts[0])
        self._known["views"][parts[0]] = {"columns": named, "sql": sql}
        self._save()

    def _forget_view(self, name: str) -> None:
        for known in [known for known in self._known["views"] if known.lower() == name.lower()]:
            del self._known["views"][known]

    def drop(self, parts: Sequence[str], *, view: bool) -> None:
        """DROP TABLE or DROP VIEW."""
        self._run(f"DROP {'VIEW' if view else 'TABLE'} {name_of(parts)}")
        if view:
            self._forget_view(parts[-1])
        key = self._key(parts[-1]) if not view else None
        gone = self._known["tables"].pop(key, None) if key is not None else None
        self._save()
        if gone is not None:
            shutil.rmtree(self._folder / gone["folder"], ignore_errors=True)


class ReadTables:
    """The same folder's tables for one session that only reads: temporary views, which no statement can write to.

    Several processes may read at a time; one that writes is waited for by the caller.

    Args:
        run: runs a statement.
        folder: of the workspace; None where the session's catalog has the tables.

    Raises:
        DatabaseInUseError: a process that may write works in the folder.
        WorkspaceError: the list cannot be read.
    """

    def __init__(self, run: Run, folder: Path | None) -> None:
        self._run = run
        self._names: list[str] | None = None if folder is None else []
        self._lock: int | None = None
        if folder is None or not (folder / "tables.json").exists():
            return
        self._lock = _locked(folder / "lock", shared=True)
        try:
            known = _known(folder / "tables.json")
            for name, table in known["tables"].items():
                kind = f"TEMPORARY VIEW {quoted(name)} ({table['columns']}) USING parquet"
                run(f"CREATE {kind} OPTIONS (path {_literal(folder / table['folder'])})")
            self._names = [*known["tables"], *_attach_views(run, "TEMPORARY VIEW", known["views"])]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other processes in."""
        for name in self._names or ():
            with contextlib.suppress(Exception):  # the session may have died
                self._run(f"DROP VIEW IF EXISTS {quoted(name)}")
        if self._lock is not None:
            os.close(self._lock)

    def sees(self, parts: Sequence[str]) -> bool:
        """Whether a relation may be read: names alone are the folder's, for the catalog may be somebody else's."""
        return self._names is None or len(parts) > 1 or parts[0].lower() in {name.lower() for name in self._names}


def _known(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """What the list of tables says: by ``tables`` and ``views``, by name."""
    if not path.exists():
        return {"tables": {}, "views": {}}
    try:
        known = json.loads(path.read_text())
        for table in known["tables"].values():
            str.__add__(table["folder"], table["columns"])
        for view in known["views"].values():
            str.__add__(view["columns"], view["sql"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkspaceError(f"{path} cannot be read as a list of tables ({error}): move it away") from None
    return {"tables": known["tables"], "views": known["views"]}


def _attach_views(run: Run, kind: str, views: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Views may name one another, and tables that are gone; such a view stays out of sight until they are back.

    Returns:
        those that are in sight.
    """
    waiting = dict(views)
    for _ in range(len(waiting)):
        for name, view in list(waiting.items()):
            with contextlib.suppress(Exception):
                run(f"CREATE {kind} {quoted(name)}{view['columns']} AS {view['sql']}")
                del waiting[name]
    return [name for name in views if name not in waiting]


def _literal(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _locked(path: Path, *, shared: bool = False) -> int:
    """Hold a file for this process alone, or together with others that only read."""
    descriptor = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows has no such locks; two processes are then on their own
        return descriptor
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise DatabaseInUseError(
            f"{path.parent} is in use by another process: close it there, or use another --workspace"
        ) from None
    return descriptor
