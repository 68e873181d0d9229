"""A silo's own file, silo.toml, read strictly: what is published, under which policy, and how it is connected."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hanse.errors import HanseError, UsageError, nearest
from hanse.federation.database import DATABASE_KEYS, Database
from hanse.federation.policy import Policy
from hanse.types import Value
from hanse.workspace import read_file

__all__ = ["Publish", "SiloConfig"]

_LIMIT_BYTES: Final = 1_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_KEYS: Final = ("name", *DATABASE_KEYS, "federation", "publish", "policy")
_PUBLISH_KEYS: Final = ("relation", "sql", "params", "customer", "store", "columns", "bounds")


@dataclass(frozen=True)
class Publish:
    """One feature relation that tasks may name.

    Args:
        name: what tasks call it.
        customer: the column of the unit that privacy protects.
        columns: features; None (in memory only): every number beside the customer.
        relation: a table or view of the silo; or
        sql: the owner's query, in Hanse's Spark SQL.
        params: values for its ``$parameters``.
        store: a column each of whose values is a silo of its own.
        bounds: by column, what values are clipped to before any statistic.
    """

    name: str
    customer: str
    columns: tuple[str, ...] | None
    relation: str = ""
    sql: str = ""
    params: Mapping[str, Value] = field(default_factory=dict)
    store: str = ""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class SiloConfig:
    """Everything that a silo's owner decides.

    Args:
        name: of the silo; letters, digits, ``_`` and ``-``.
        database: where the rows are.
        folder: where the silo keeps its own files.
        publish: by name; None publishes every table and view with a ``customer_id`` column (embedded only).
        policy: what may leave.
        federation: the ``[federation]`` table as it stands, for the transport to read; None if there is none.
        ledger: the ledger's file.
    """

    name: str
    database: Database
    folder: Path
    publish: Mapping[str, Publish] | None
    policy: Policy
    ledger: Path
    federation: Mapping[str, Any] | None = None

    @property
    def state(self) -> Path:
        """The folder, readable by its owner only, of snapshots, digests and models that wait."""
        return self.ledger.with_suffix(".silo")

    @property
    def registry(self) -> Path:
        """The silo's registry of models, beside its database."""
        return self.database.registry

    @classmethod
    def embedded(cls, name: str, database: str | Path | Database, policy: Policy | None = None) -> SiloConfig:
        """A silo without a file of its own: tables and views with a ``customer_id`` column, the default policy.

        The ledger and the budgets belong to the database, under whatever name it is opened.
        """
        place = database if isinstance(database, Database) else Database.of({"database": str(database)}, Path.cwd())
        _check_name(name, f"silo {name!r}")
        return cls(name, place, place.ledger.parent, None, policy or Policy(install="auto"), place.ledger)

    @classmethod
    def load(cls, path: str | Path) -> SiloConfig:
        """Read silo.toml.

        Raises:
            UsageError: not TOML, or a key that is unknown, missing or wrong; the file and the key are named.
        """
        file = Path(path).expanduser()
        try:
            table = tomllib.loads(read_file(file, limit_bytes=_LIMIT_BYTES).decode())
        except HanseError as error:
            raise UsageError(f"{error}; --config names a silo's own file, silo.toml") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from None
        _known(table, _KEYS, f"{file}:")
        folder = file.absolute().parent
        name = _check_name(_text(table, "name", f"{file}:"), f"{file}: name")
        published = _table(table, "publish", f"{file}:")
        publish = {n: _publish(n, t, folder, f"{file}: [publish.{n}]") for n, t in published.items()}
        if len({n.lower() for n in publish}) < len(publish):
            raise UsageError(f"{file}: two published relations differ in case only: rename one")
        _check_stores(publish.values(), file)
        return cls(
            name=name,
            database=_database(table, folder, f"{file}:"),
            folder=folder,
            publish=publish,
            policy=Policy.from_table(_table(table, "policy", f"{file}:"), f"{file}: [policy]"),
            ledger=folder / f"{name}.ledger",
            federation=_table(table, "federation", f"{file}:") if "federation" in table else None,
        )


def _check_stores(publish: Iterable[Publish], file: Path) -> None:
    """Refuse rows that are published as a whole and by stores: the whole without all other stores is one store."""
    seen: dict[str, Publish] = {}
    for one in publish:
        first = seen.setdefault(one.relation.lower(), one) if one.relation else one
        if first.store.lower() != one.store.lower():
            raise UsageError(
                f"{file}: [publish.{first.name}] and [publish.{one.name}] are both relation {one.relation}, with other "
                "stores: what the gate withholds of one, the other would show: keep one of them"
            )


def _database(table: Mapping[str, Any], folder: Path, where: str) -> Database:
    try:
        return Database.of({key: table[key] for key in DATABASE_KEYS if key in table}, folder)
    except UsageError as error:
        raise UsageError(f"{where} {error}") from None


def _publish(name: str, table: Any, folder: Path, where: str) -> Publish:
    if not isinstance(table, dict):
        raise UsageError(f"{where}: need a table with relation or sql, customer and columns")
    _known(table, _PUBLISH_KEYS, where)
    if ("relation" in table) == ("sql" in table):
        raise UsageError(f"{where}: need either relation or sql")
    columns = _columns(table.get("columns"), where)
    customer = _text(table, "customer", where)
    hidden = {customer.lower()} | ({table["store"].lower()} if isinstance(table.get("store"), str) else set())
    for column in columns:
        if column.lower() in hidden:
            raise UsageError(f"{where} columns: {column} names a customer or a store, which never leaves: leave it out")
    if "params" in table and "sql" not in table:
        raise UsageError(f"{where} params: only sql takes parameters")
    return Publish(
        name=name,
        customer=customer,
        columns=columns,
        relation=_text(table, "relation", where) if "relation" in table else "",
        sql=_file(folder / _text(table, "sql", where), where) if "sql" in table else "",
        params=_params(_table(table, "params", where), where),
        store=_text(table, "store", where) if "store" in table else "",
        bounds=_bounds(_table(table, "bounds", where), columns, where),
    )


def _columns(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise UsageError(f'{where} columns = {value!r}: need the published features, as ["avg_order_value"]')
    if len({v.lower() for v in value}) < len(value):
        raise UsageError(f"{where} columns = {value!r}: need distinct names")
    return tuple(value)


def _bounds(table: Mapping[str, Any], columns: tuple[str, ...], where: str) -> dict[str, tuple[float, float]]:
    bounds = {}
    for column, pair in table.items():
        if column not in columns:
            raise UsageError(f"{where} bounds.{column}: not among columns: {nearest(column, columns)}")
        fits = isinstance(pair, list) and len(pair) == 2
        fits = fits and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in pair)
        if not fits or pair[0] >= pair[1]:
            raise UsageError(f"{where} bounds.{column} = {pair!r}: need [low, high], two numbers, low below high")
        bounds[column] = (float(pair[0]), float(pair[1]))
    return bounds


def _params(table: Mapping[str, Any], where: str) -> dict[str, Value]:
    for name, value in table.items():
        if isinstance(value, list | dict) or type(value).__name__ == "time":
            raise UsageError(f"{where} params.{name} = {value!r}: need a number, a text, a truth value or a date")
    return dict(table)


def _file(path: Path, where: str) -> str:
    try:
        return read_file(path, limit_bytes=_LIMIT_BYTES).decode()
    except HanseError as error:
        raise UsageError(f"{where} sql: {error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} sql: {path} is not UTF-8: {error}") from None


def _check_name(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where} = {name!r}: need at most 64 letters, digits, _ and -")
    return name


def _known(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in keys:
            raise UsageError(f"{where} {key}: unknown key: {nearest(key, keys)}")


def _table(table: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{where} {key} = {value!r}: need a table")
    return value


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    if key not in table:
        raise UsageError(f'{where} {key} is missing: write {key} = "..."')
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where} {key} = {value!r}: need a text in quotes")
    return value
