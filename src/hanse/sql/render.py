"""A tree with Spark's meaning in, one that means the same on an engine out: on DuckDB, or on Spark by any setting."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp
from sqlglot.errors import ErrorLevel
from sqlglot.errors import UnsupportedError as SqlglotUnsupportedError

from hanse.errors import UnsupportedError
from hanse.expressions import writer
from hanse.sql.lint import lost_text_warnings
from hanse.sql.rendering.files import file_source
from hanse.sql.rendering.queries import render_query
from hanse.sql.rendering.scope import Catalog, Environment

__all__ = ["Catalog", "file_source", "render", "to_sql"]


def render(
    tree: exp.Query, catalog: Catalog, dialect: str = "duckdb", tell: Callable[[str], None] | None = None
) -> exp.Query:
    """A query with Spark's meaning (ANSI mode off, time zone UTC) as one that an engine runs with the same meaning.

    Args:
        tree: what :func:`hanse.sql.parser.parse` gives, its table functions replaced by tables.
        catalog: the relations that exist.
        dialect: the engine's, ``duckdb`` or ``spark``.
        tell: takes a warning of what is legal and probably not meant.

    Returns:
        A new tree; ``tree`` stays as it is.

    Raises:
        BindError: a table, column, field or function that does not exist, or types that do not fit.
        UnsupportedError: something that cannot be carried over; nothing is dropped silently.
    """
    if dialect not in _ENGINES:
        raise UnsupportedError(f"dialect {dialect!r}", "only duckdb and spark are there")
    bound = tree.copy() if dialect == "spark" else tree
    rendered = render_query(bound, Environment(catalog)).tree
    if tell is not None:
        for warning in lost_text_warnings(bound):
            tell(warning)
    if dialect == "duckdb":
        return rendered
    from hanse.sql.spark.writer import write_query

    return write_query(bound)


def to_sql(tree: exp.Query, dialect: str = "duckdb") -> str:
    """The text of a rendered tree; raises UnsupportedError rather than leave something out."""
    generator = writer(dialect, unsupported_level=ErrorLevel.RAISE)
    generator.EXPRESSIONS_WITHOUT_NESTED_CTES = set()  # type: ignore[misc]  # sqlglot would hoist a WITH for Hive's sake
    try:
        return generator.generate(tree)
    except SqlglotUnsupportedError as error:
        raise UnsupportedError(str(error), f"it has no equal on {_ENGINES[dialect]}") from error


_ENGINES = {"duckdb": "DuckDB", "spark": "Spark"}
