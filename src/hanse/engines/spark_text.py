"""Text that goes to Spark and comes from it: names, types, messages; nothing here needs Spark."""

from __future__ import annotations

import logging
import re
from typing import Any

from hanse import expressions as e
from hanse.errors import EngineError, HanseError

__all__ = [
    "OUT_OF_MEMORY",
    "backquoted",
    "has_ended",
    "is_news",
    "name_of",
    "said",
    "type_text",
    "written",
]

OUT_OF_MEMORY = "OutOfMemoryError"
"""What Java calls it."""

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`]|``)*`|\"((?:[^\"]|\"\")*)\"", re.DOTALL)
_TAIL = re.compile(r"\s*SQLSTATE: \w+.*$", re.DOTALL)
_CLASS = re.compile(r"^\[([A-Z0-9_.]+)\]\s*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


def backquoted(sql: str) -> str:
    """Names that stand in double quotes, as in standard SQL, in Spark's backquotes; texts stay as they are.

    >>> backquoted('SELECT "a""b" AS `c`, \\'"d"\\'')
    'SELECT `a"b` AS `c`, \\'"d"\\''
    """

    def rewritten(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group() if name is None else quoted(name.replace('""', '"'))

    return _QUOTED.sub(rewritten, sql)


def written(expression: e.Expression, *, copy: bool = True) -> str:
    """An expression as Spark writes it; a division by zero is NULL by any setting.

    Args:
        expression: what to write.
        copy: whether it is still needed afterwards; writing may change it.
    """
    return e.written(e.divisions_by("try_divide", expression.copy() if copy else expression), "spark", copy=False)


def quoted(name: str) -> str:
    """A name in backquotes."""
    return "`" + name.replace("`", "``") + "`"


def name_of(parts: Any) -> str:
    """A relation's name from its parts."""
    return ".".join(quoted(part) for part in parts)


def type_text(type_: Any) -> str:
    """A type of Spark's, from its JSON, as DESCRIBE writes it, but in capitals and with names as they are.

    >>> type_text({"type": "array", "elementType": {"type": "struct", "fields": [{"name": "a b", "type": "integer"}]}})
    'ARRAY<STRUCT<`a b`: INT>>'
    """
    if isinstance(type_, str):
        return _NAMES.get(type_, type_.upper())
    if type_["type"] == "array":
        return f"ARRAY<{type_text(type_['elementType'])}>"
    if type_["type"] == "map":
        return f"MAP<{type_text(type_['keyType'])}, {type_text(type_['valueType'])}>"
    if type_["type"] == "struct":
        fields = (f"{_field(field['name'])}: {type_text(field['type'])}" for field in type_["fields"])
        return f"STRUCT<{', '.join(fields)}>"
    return str(type_["type"]).upper()


_NAMES = {"integer": "INT", "long": "BIGINT", "short": "SMALLINT", "byte": "TINYINT", "void": "INT"}


def _field(name: str) -> str:
    return name if _PLAIN.match(name) else quoted(name)


def said(kind: str, message: str) -> HanseError:
    """What Spark says, in Hanse's words: one line, no Java.

    Args:
        kind: the name of the exception's class.
        message: its text, which may end in a stack of Java calls.
    """
    whole = message.strip()
    if OUT_OF_MEMORY in whole or "GC overhead" in whole:
        return EngineError("Spark ran out of memory: give the driver more (spark.driver.memory), or ask for fewer rows")
    if "maxResultSize" in whole:
        return EngineError(
            "the result is larger than Spark lets its driver hold (spark.driver.maxResultSize): store it with CREATE "
            "TABLE ... AS, ask for fewer rows, or allow more"
        )
    if has_ended(kind, whole):
        return EngineError(
            "the Spark session has ended: start one and connect again; models in the registry are as they were"
        )
    line = _TAIL.sub("", whole.splitlines()[0] if whole else "unknown error")
    name = _CLASS.match(line)
    text = _CLASS.sub("", line).strip()
    if name is not None and name.group(1).startswith("USER_RAISED_EXCEPTION"):
        return EngineError(text.replace("hanse: integer overflow", "integer overflow"))
    deeper = re.search(r"Caused by: [\w.$]+: (\[USER_RAISED_EXCEPTION\] .*?)(?: SQLSTATE|$)", whole, re.MULTILINE)
    if deeper is not None:
        return said(kind, deeper.group(1))
    if "No space left on device" in whole:
        return EngineError("Spark's disk is full: free some space and run the statement again")
    return EngineError(f"Spark: {text}")


def is_news(record: logging.LogRecord) -> bool:
    """False for what py4j logs, with its stack, of a Java that goes while it is asked; the error tells of it."""
    return record.getMessage() != "Exception while sending command."


def has_ended(kind: str, message: str) -> bool:
    """Whether an exception tells that the session is gone, and asking it again is in vain."""
    return any(sign in message for sign in _ENDED) or kind in _ENDED_KINDS


_ENDED = (
    "stopped SparkContext",
    "SparkContext was shut down",
    "SparkContext has been shutdown",
    "session is not active",
    "INVALID_HANDLE",
    "StatusCode.UNAVAILABLE",
    "NO_ACTIVE_SESSION",
)
_ENDED_KINDS = ("Py4JNetworkError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError", "EOFError")
