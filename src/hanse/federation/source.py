"""From a published relation to the one query that a silo's snapshot is filled with."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from hanse import expressions as e
from hanse.engines.base import Engine
from hanse.errors import EngineError, HanseError, UnsupportedError, nearest
from hanse.federation.config import Publish, SiloConfig
from hanse.federation.refusals import RefusalError

__all__ = ["Definition", "Source", "find", "published", "source_of", "stores_of"]

_NUMBERS: Final = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|REAL|DOUBLE|DECIMAL\(.*\)|BOOLEAN)")
_ON_SPARK: Final = {"INT": "INTEGER"}  # the one number that Spark calls otherwise; silos compare their types
_CUSTOMER: Final = "customer_id"


@dataclass(frozen=True)
class Source:
    """A published relation, as the silo's database has it.

    Args:
        publish: what the owner wrote; its columns are known here.
        sql: a query over the database, in its dialect: ``customer`` as text, then ``c0``, ``c1`` ... as doubles.
        types: by column, as DuckDB calls them.
        canonical: the owner's SQL without its layout; empty for a relation.
        stores: a query for the values of the store column; empty without one.
    """

    publish: Publish
    sql: str
    types: Mapping[str, str]
    canonical: str
    stores: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The published columns."""
        return tuple(self.types)


@dataclass(frozen=True)
class Definition:
    """What silos must agree on for one relation's features to mean the same."""

    canonical: str
    params: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, publish: Publish, canonical: str, types: Mapping[str, str], features: Sequence[str]) -> Definition:
        """Of the features that are asked for."""
        params = {name: f"{type(value).__name__} {value}" for name, value in publish.params.items()}
        bounds = {f: publish.bounds[f] for f in features if f in publish.bounds}
        return cls(canonical, params, {f: types[f] for f in features}, bounds)

    @property
    def hash(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def published(config: SiloConfig, engine: Engine | None) -> Mapping[str, Publish]:
    """What a silo publishes; an embedded one publishes what its database holds."""
    if config.publish is not None:
        return config.publish
    if engine is None:
        return {}
    found = {}
    for name in engine.relations():
        try:
            columns = engine.relation_columns([name]) or {}
        except EngineError:  # a view that no longer works, which only its owner can mend
            continue
        customer = next((c for c in columns if c.lower() == _CUSTOMER), None)
        if customer is not None:
            found[name] = Publish(name=name, customer=customer, columns=None, relation=name)
    return found


def find(config: SiloConfig, engine: Engine | None, relation: str) -> Publish:
    """The published relation of that name, in any case.

    Raises:
        RefusalError: it is not published.
    """
    known = published(config, engine)
    for name, publish in known.items():
        if name.lower() == relation.lower():
            return publish
    raise RefusalError("schema", f"{relation} is not published here: {nearest(relation, known)}")


def source_of(engine: Engine, publish: Publish, store: str | None) -> Source:
    """Resolve a published relation against the database.

    Raises:
        RefusalError: its SQL does not run, or it lacks a column.
    """
    query, kinds, canonical = _query(engine, publish)
    types = {name: _ON_SPARK.get(kind, kind) for name, kind in kinds.items()}
    by_lower = {name.lower(): name for name in types}
    customer = _column(by_lower, publish.customer, publish)
    wanted = publish.columns
    if wanted is None:
        wanted = tuple(n for n, k in types.items() if n != customer and _NUMBERS.fullmatch(k))
    found = {name: types[_column(by_lower, name, publish)] for name in wanted}
    for name, kind in found.items():
        if not _NUMBERS.fullmatch(kind):
            raise _broken(
                publish, f"column {name} is of type {kind}, which is no number", f"column {name} is no number"
            )
    values = {"customer": e.as_text(e.column(customer))}
    for i, name in enumerate(wanted):
        value = e.as_double(e.column(by_lower[name.lower()]))
        values[f"c{i}"] = _clipped(value, publish.bounds.get(name))
    texts = (f"{engine.text(value)} AS {name}" for name, value in values.items())
    sql = f"SELECT {', '.join(texts)} FROM ({query}) AS rows_"
    stores = ""
    if publish.store:
        column = engine.text(e.as_text(e.column(_column(by_lower, publish.store, publish))))
        stores = f"SELECT DISTINCT {column} FROM ({query}) AS rows_ WHERE {column} IS NOT NULL ORDER BY 1"
        sql += f" WHERE {column} = {engine.text(e.string(store or ''))}"
    return Source(publish, sql, found, canonical, stores)


def stores_of(engine: Engine, publish: Publish) -> list[str]:
    """The values of the store column."""
    source = source_of(engine, publish, "")
    return [str(value) for (value,) in engine.rows(source.stores)] if source.stores else []


def _query(engine: Engine, publish: Publish) -> tuple[str, Mapping[str, str], str]:
    if publish.sql:
        return _prepared(engine, publish)
    parts = publish.relation.split(".")
    try:
        types = engine.relation_columns(parts)
    except EngineError as error:
        raise _broken(publish, str(error), "its view no longer works") from None
    if types is None:
        there = nearest(publish.relation, engine.relations())
        raise _broken(publish, f"the database has no relation {publish.relation}: {there}", "its relation is missing")
    return f"SELECT * FROM {'.'.join(e.quote(p) for p in parts)}", types, ""


def _prepared(engine: Engine, publish: Publish) -> tuple[str, Mapping[str, str], str]:
    from hanse.sql.binder import Planner
    from hanse.sql.nodes import Query
    from hanse.sql.parser import parse

    try:
        statements = parse(publish.sql)
        if len(statements) != 1 or not isinstance(statements[0], Query):
            raise UnsupportedError("the file of a published relation", "need one SELECT and nothing else")
        tree = statements[0].tree
        prepared = Planner(engine, publish.params, _no_functions).prepare(tree)
    except HanseError as error:
        raise _broken(publish, f"sql: {error}", "its SQL does not run") from None
    return prepared.sql, prepared.columns, tree.sql(dialect="spark", comments=False)


def _no_functions(function: Any, *_: object) -> Any:
    raise UnsupportedError(f"{function.name} in a published relation", "publish features, not models")


def _column(by_lower: Mapping[str, str], name: str, publish: Publish) -> str:
    found = by_lower.get(name.lower())
    if found is None:
        cure = nearest(name, by_lower.values())
        raise _broken(publish, f"column {name} does not exist: {cure}", f"column {name} is missing")
    return found


def _clipped(value: e.Expression, bounds: tuple[float, float] | None) -> e.Expression:
    """A value within its bounds; what is no number stays so, to be refused."""
    if bounds is None or not all(map(math.isfinite, bounds)):
        return value
    return e.case([e.when(e.is_number(value), e.clamp(value, *bounds))], value)


def _broken(publish: Publish, detail: str, message: str) -> RefusalError:
    text = f"the published relation {publish.name} cannot be read here: {message}"
    return RefusalError("schema", text, detail=f"[publish.{publish.name}] {detail}", status="failed")
