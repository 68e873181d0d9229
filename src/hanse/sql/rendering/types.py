"""Spark's types as the renderer knows them, read from an engine's text of them and written as DuckDB's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

__all__ = [
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "DATE",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTERVAL",
    "INTERVAL_DAYS",
    "INTERVAL_MONTHS",
    "NULL",
    "SMALLINT",
    "STRING",
    "TIMESTAMP",
    "TINYINT",
    "Type",
    "array",
    "common_type",
    "common_types",
    "comparison_type",
    "decimal",
    "decimal_of",
    "engine_text",
    "map_of",
    "parse_type",
    "struct",
]


class Type(msgspec.Struct, frozen=True):
    """One type. ``kind`` is Spark's name, lower case; nested types have ``args``, structs also ``names``.

    ``foreign`` is a DuckDB type that Spark lacks (``engine`` is its text); ``args[0]`` is what it is read as.
    """

    kind: str
    args: tuple[Type, ...] = ()
    names: tuple[str, ...] = ()
    precision: int = 0
    scale: int = 0
    engine: str = ""

    @property
    def is_integral(self) -> bool:
        """TINYINT, SMALLINT, INT or BIGINT."""
        return self.kind in _INTEGRAL

    @property
    def is_numeric(self) -> bool:
        """An integer, a DECIMAL, a FLOAT or a DOUBLE."""
        return self.kind in _NUMERIC

    @property
    def is_fractional(self) -> bool:
        """FLOAT or DOUBLE."""
        return self.kind in ("float", "double")

    @property
    def is_nested(self) -> bool:
        """An array, a map or a struct."""
        return self.kind in ("array", "map", "struct")

    @property
    def is_interval(self) -> bool:
        """Any kind of interval."""
        return self.kind.startswith("interval")

    @property
    def element(self) -> Type:
        """The type of an array's elements."""
        return self.args[0]

    def field(self, name: str) -> tuple[str, Type] | None:
        """A struct's field by name, in any case: its own spelling and its type."""
        for spelling, type_ in zip(self.names, self.args, strict=True):
            if spelling.lower() == name.lower():
                return spelling, type_
        return None

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"DECIMAL({self.precision},{self.scale})"
        if self.kind == "struct":
            inner = ", ".join(f"{n}: {t}" for n, t in zip(self.names, self.args, strict=True))
            return f"STRUCT<{inner}>"
        if self.kind in ("array", "map"):
            return f"{self.kind.upper()}<{', '.join(map(str, self.args))}>"
        return self.engine or self.kind.upper()


_INTEGRAL = ("tinyint", "smallint", "int", "bigint")
_NUMERIC = (*_INTEGRAL, "decimal", "float", "double")

NULL = Type("null")
BOOLEAN = Type("boolean")
TINYINT = Type("tinyint")
SMALLINT = Type("smallint")
INT = Type("int")
BIGINT = Type("bigint")
FLOAT = Type("float")
DOUBLE = Type("double")
STRING = Type("string")
BINARY = Type("binary")
DATE = Type("date")
TIMESTAMP = Type("timestamp")
INTERVAL = Type("interval")
INTERVAL_DAYS = Type("interval_days")
INTERVAL_MONTHS = Type("interval_months")


def array(element: Type) -> Type:
    """ARRAY<element>."""
    return Type("array", (element,))


def map_of(key: Type, value: Type) -> Type:
    """MAP<key, value>."""
    return Type("map", (key, value))


def struct(names: Iterable[str], types: Iterable[Type]) -> Type:
    """STRUCT<name: type, ...>."""
    return Type("struct", tuple(types), tuple(names))


def decimal(precision: int, scale: int) -> Type:
    """DECIMAL(precision, scale), fitted into 38 digits as Spark does it (DecimalType.adjustPrecisionScale)."""
    if precision > 38:
        scale = max(38 - (precision - scale), min(scale, 6))
        precision = 38
    return Type("decimal", precision=precision, scale=scale)


_DECIMAL_OF = {
    "tinyint": (3, 0),
    "smallint": (5, 0),
    "int": (10, 0),
    "bigint": (20, 0),
    "float": (14, 7),
    "double": (30, 15),
}


def decimal_of(type_: Type) -> Type:
    """The DECIMAL that holds every value of a numeric type."""
    if type_.kind == "decimal":
        return type_
    precision, scale = _DECIMAL_OF[type_.kind]
    return decimal(precision, scale)


_FROM_ENGINE = {
    "BOOLEAN": BOOLEAN,
    "TINYINT": TINYINT,
    "SMALLINT": SMALLINT,
    "INTEGER": INT,
    "BIGINT": BIGINT,
    "FLOAT": FLOAT,
    "DOUBLE": DOUBLE,
    "VARCHAR": STRING,
    "BLOB": BINARY,
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "INTERVAL": INTERVAL,
    "NULL": NULL,
    "INT": INT,
    "STRING": STRING,
    "BINARY": BINARY,
    "VOID": NULL,
}
_FOREIGN = {
    "UTINYINT": SMALLINT,
    "USMALLINT": INT,
    "UINTEGER": BIGINT,
    "UBIGINT": decimal(20, 0),
    "HUGEINT": decimal(38, 0),
    "UHUGEINT": decimal(38, 0),
    "TIMESTAMP WITH TIME ZONE": TIMESTAMP,
    "TIMESTAMPTZ": TIMESTAMP,
    "TIMESTAMP_NTZ": TIMESTAMP,
    "TIMESTAMP_S": TIMESTAMP,
    "TIMESTAMP_MS": TIMESTAMP,
    "TIMESTAMP_NS": TIMESTAMP,
    "UUID": STRING,
    "JSON": STRING,
    "ENUM": STRING,
}
_TO_ENGINE = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "interval": "INTERVAL",
    "interval_days": "INTERVAL",
    "interval_months": "INTERVAL",
    "null": "INTEGER",
}
_INTERVALS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
_TOKEN = re.compile(r'\s*(`(?:[^`]|``)*`|"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|[A-Za-z_][A-Za-z0-9_]*|\d+|.)')


def engine_text(type_: Type) -> str:
    """A type as DuckDB writes it."""
    if type_.kind == "foreign":
        return type_.engine
    if type_.kind == "decimal":
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if type_.kind == "array":
        return f"{engine_text(type_.element)}[]"
    if type_.kind == "map":
        return f"MAP({engine_text(type_.args[0])}, {engine_text(type_.args[1])})"
    if type_.kind == "struct":
        quoted = ('"' + name.replace('"', '""') + '"' for name in type_.names)
        return f"STRUCT({', '.join(f'{n} {engine_text(t)}' for n, t in zip(quoted, type_.args, strict=True))})"
    return _TO_ENGINE[type_.kind]


@lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """Read a type as DuckDB's DESCRIBE writes it, or as Spark does.

    >>> str(parse_type("STRUCT(id VARCHAR, x DOUBLE)[]"))
    'ARRAY<STRUCT<id: STRING, x: DOUBLE>>'
    >>> str(parse_type("ARRAY<STRUCT<id: STRING, `a b`: MAP<STRING, INT>>>"))
    'ARRAY<STRUCT<id: STRING, a b: MAP<STRING, INT>>>'
    """
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def read(self) -> Type:
        type_ = self.base()
        while self.peek() == "[":
            self.next()
            fixed = self.next()
            if fixed != "]":
                self.next()
                type_ = Type("foreign", (array(type_),), engine=f"{engine_text(type_)}[{fixed}]")
            else:
                type_ = array(type_)
        return type_

    def base(self) -> Type:
        word = self.next().strip('"').upper()
        if word in ("STRUCT", "TUPLE", "ROW", "MAP") and self.peek() == "(":
            return self.nested(word)
        if word in ("STRUCT", "ARRAY", "MAP") and self.peek() == "<":
            return self.angled(word)
        if word == "INTERVAL" and self.peek().upper() in _INTERVALS:
            return self.interval()
        if word == "DECIMAL" and self.peek() == "(":
            numbers = [int(token) for token in self.parenthesised() if token.isdigit()]
            return decimal(numbers[0], numbers[1])
        if self.peek() == "(":
            inner = ", ".join(token for token in self.parenthesised() if token != ",")
            return Type("foreign", (_FOREIGN.get(word, STRING),), engine=f"{word}({inner})")
        while self.peek().upper() in ("WITH", "TIME", "ZONE"):
            word += " " + self.next().upper()
        if word in _FROM_ENGINE:
            return _FROM_ENGINE[word]
        return Type("foreign", (_FOREIGN.get(word, Type("unknown", engine=word)),), engine=word)

    def interval(self) -> Type:
        kind = INTERVAL_MONTHS if self.peek().upper() in ("YEAR", "MONTH") else INTERVAL
        days = self.peek().upper() == "DAY"
        units = []
        while self.peek().upper() in (*_INTERVALS, "TO"):
            units.append(self.next())
        return INTERVAL_DAYS if days and len(units) == 1 else kind

    def angled(self, word: str) -> Type:
        self.next()
        names: list[str] = []
        types: list[Type] = []
        while self.peek() not in (">", ""):
            if word == "STRUCT":
                name = self.next()
                names.append(name[1:-1].replace("``", "`") if name.startswith("`") else name)
                self.next()
            types.append(self.read())
            if self.peek() == ",":
                self.next()
        self.next()
        return Type(word.lower(), tuple(types), tuple(names))

    def parenthesised(self) -> list[str]:
        self.next()
        found = []
        while self.peek() not in (")", ""):
            found.append(self.next())
        self.next()
        return found

    def nested(self, word: str) -> Type:
        self.next()
        names: list[str] = []
        types: list[Type] = []
        while self.peek() not in (")", ""):
            if word == "STRUCT":
                name = self.next()
                names.append(name[1:-1].replace('""', '"') if name.startswith('"') else name)
            types.append(self.read())
            if self.peek() == ",":
                self.next()
        self.next()
        if word == "MAP":
            return map_of(types[0], types[1])
        return struct(names or [f"col{i + 1}" for i in range(len(types))], types)


def common_type(left: Type, right: Type) -> Type | None:
    """The type that both widen to in CASE, COALESCE, UNION ...; Spark's findWiderTypeForTwo, ANSI off."""
    if left == right or right.kind == "null":
        return left
    if left.kind == "null":
        return right
    if left.is_numeric and right.is_numeric:
        return _wider_number(left, right)
    kinds = {left.kind, right.kind}
    if kinds == {"date", "timestamp"}:
        return TIMESTAMP
    if "string" in kinds and not (kinds & {"binary", "boolean"} or left.is_nested or right.is_nested):
        return STRING
    if left.is_interval and right.is_interval:
        return INTERVAL
    if left.kind == right.kind and left.is_nested and len(left.args) == len(right.args):
        inner = [common_type(a, b) for a, b in zip(left.args, right.args, strict=True)]
        if all(inner):
            return Type(left.kind, tuple(t for t in inner if t is not None), left.names)
    return None


def common_types(types: Iterable[Type]) -> Type | None:
    """The type that all widen to, or None where there is none."""
    result: Type | None = NULL
    for type_ in types:
        result = common_type(result, type_) if result is not None else None
    return result


def comparison_type(left: Type, right: Type) -> Type | None:
    """The type that ``=``, ``<`` ... compare in; Spark's findCommonTypeForBinaryComparison, ANSI off."""
    if left.kind == "string" and right.kind not in ("string", "null") and not right.is_nested:
        return DOUBLE if right.kind == "decimal" else right
    if right.kind == "string" and left.kind not in ("string", "null") and not left.is_nested:
        return DOUBLE if left.kind == "decimal" else left
    if left.kind == "boolean" and right.is_numeric:
        return right
    if right.kind == "boolean" and left.is_numeric:
        return left
    return common_type(left, right)


def _wider_number(left: Type, right: Type) -> Type:
    if "decimal" in (left.kind, right.kind):
        if left.is_fractional or right.is_fractional:
            return DOUBLE
        a, b = decimal_of(left), decimal_of(right)
        scale = max(a.scale, b.scale)
        return decimal(max(a.precision - a.scale, b.precision - b.scale) + scale, scale)
    order = _NUMERIC.index
    return left if order(left.kind) >= order(right.kind) else right
