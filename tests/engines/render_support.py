"""What the tests of the renderer share: fixtures in titled blocks, a catalog over DuckDB, the parser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
from sqlglot import exp

from hanse.sql import nodes
from hanse.sql.parser import parse
from hanse.sql.render import file_source

FIXTURES = Path(__file__).parent.parent / "fixtures"


def statements(text: str) -> list[tuple[str, str]]:
    """Pairs of title and what follows it."""
    blocks = re.split(r"^-- title: ", text, flags=re.MULTILINE)[1:]
    pairs = [block.split("\n", 1) for block in blocks]
    return [(title.strip(), body.strip()) for title, body in pairs]


def parsed(sql: str) -> exp.Query:
    """One query, as a script's parser gives it."""
    (statement,) = parse(sql)
    assert isinstance(statement, nodes.Query)
    return statement.tree


class DuckCatalog:
    """The relations of a DuckDB connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def columns(self, table: exp.Table) -> Mapping[str, str] | None:
        source = file_source(table) or exp.Table(this=table.this.copy(), db=table.args.get("db"))
        try:
            described = self.connection.execute(f"DESCRIBE SELECT * FROM {source.sql(dialect='duckdb')}").fetchall()
        except duckdb.Error:
            return None
        return {name: type_ for name, type_, *_ in described}

    def tables(self) -> Sequence[str]:
        found = self.connection.execute(
            "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views()"
        )
        return [name for (name,) in found.fetchall()]


class FixedCatalog:
    """Relations by name: their columns and DuckDB's text of their types."""

    def __init__(self, relations: Mapping[str, Mapping[str, str]]) -> None:
        self.relations = relations

    def columns(self, table: exp.Table) -> Mapping[str, str] | None:
        return self.relations.get(table.name.lower())

    def tables(self) -> Sequence[str]:
        return list(self.relations)
