"""Files as tables: parquet.`path`, csv.`path`, json.`path`."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.templates import duck, text

__all__ = ["file_source"]

_READERS = {
    "parquet": "read_parquet({0})",
    "csv": "read_csv({0}, header = FALSE, all_varchar = TRUE)",
    "json": "read_json({0})",
}


def file_source(table: exp.Table) -> exp.Table | None:
    """The relation that DuckDB reads a file as, or None where the table is not a file.

    As in Spark, a CSV file read this way has no header; its columns are strings called ``_c0``, ``_c1`` ...
    """
    reader = _READERS.get(table.db.lower()) if table.db and not table.catalog else None
    if reader is None:
        return None
    return exp.Table(this=duck(reader, text(table.name)))
