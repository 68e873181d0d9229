"""Types as a script writes them: ``CAST(x AS ARRAY<STRUCT<a: INT>>)``."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TINYINT,
    Type,
    array,
    decimal,
    map_of,
    struct,
)
from hanse.sql.rendering.values import misfit, unsupported

__all__ = ["CASTS", "spark_type"]

CASTS = {
    "boolean": BOOLEAN,
    "tinyint": TINYINT,
    "smallint": SMALLINT,
    "int": INT,
    "bigint": BIGINT,
    "float": FLOAT,
    "double": DOUBLE,
    "decimal": decimal(10, 0),
    "string": STRING,
    "binary": BINARY,
    "date": DATE,
    "timestamp": TIMESTAMP,
}
"""Functions that cast to the type of their own name: ``int(x)``."""

_SCALARS = {
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.TINYINT: TINYINT,
    exp.DType.SMALLINT: SMALLINT,
    exp.DType.INT: INT,
    exp.DType.BIGINT: BIGINT,
    exp.DType.FLOAT: FLOAT,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.TEXT: STRING,
    exp.DType.VARCHAR: STRING,
    exp.DType.CHAR: STRING,
    exp.DType.BINARY: BINARY,
    exp.DType.VARBINARY: BINARY,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: TIMESTAMP,
    exp.DType.TIMESTAMPTZ: TIMESTAMP,
    exp.DType.TIMESTAMPLTZ: TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: TIMESTAMP,
    exp.DType.DATETIME: TIMESTAMP,
}


def spark_type(node: exp.DataType) -> Type:
    """The type that a cast names.

    Raises:
        UnsupportedError: a type that DuckDB has no equal for.
    """
    kind = node.this
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is exp.DType.DECIMAL:
        if not all(parameter.name.isdigit() for parameter in node.expressions):
            raise misfit(node, f"the type {node.sql(dialect='spark')}", "write DECIMAL(precision, scale)")
        numbers = [int(parameter.name) for parameter in node.expressions]
        if numbers and not (1 <= numbers[0] <= 38 and sum(numbers[1:]) <= numbers[0]):
            raise misfit(
                node, f"the type {node.sql(dialect='spark')}", "need 1 to 38 digits, and no more after the point"
            )
        precision, scale = [*numbers, 0][:2] if numbers else (10, 0)
        return decimal(precision, scale)
    if kind is exp.DType.ARRAY and len(node.expressions) == 1:
        return array(spark_type(node.expressions[0]))
    if kind is exp.DType.MAP and len(node.expressions) == 2:
        return map_of(spark_type(node.expressions[0]), spark_type(node.expressions[1]))
    if kind is exp.DType.STRUCT:
        fields = [field for field in node.expressions if isinstance(field, exp.ColumnDef)]
        if len(fields) == len(node.expressions):
            return struct([field.name for field in fields], [spark_type(field.args["kind"]) for field in fields])
    raise unsupported(node, f"the type {node.sql(dialect='spark')}")
