"""Java's date patterns (``yyyy-MM-dd``) as DuckDB's (``%Y-%m-%d``)."""

from __future__ import annotations

import re

import msgspec
from sqlglot import exp

from hanse.sql.rendering.values import misfit, unsupported

__all__ = ["Reading", "format_pattern", "parse_pattern"]

_FORMAT = {
    "y": "%Y", "yyyy": "%Y", "yy": "%y", "u": "%Y", "uuuu": "%Y",
    "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "L": "%-m", "LL": "%m",
    "d": "%-d", "dd": "%d", "D": "%-j", "DDD": "%j",
    "H": "%-H", "HH": "%H", "h": "%-I", "hh": "%I",
    "m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S", "SSS": "%g", "SSSSSS": "%f",
    "a": "%p", "E": "%a", "EE": "%a", "EEE": "%a", "EEEE": "%A",
}  # fmt: skip
_PARSE = {letters: sign.replace("%-", "%") for letters, sign in _FORMAT.items() if not letters.startswith("E")}
_SHAPES = {
    "y": r"\d{1,4}", "u": r"\d{1,4}", "yyyy": r"\d{4}", "uuuu": r"\d{4}", "D": r"\d{1,3}", "DDD": r"\d{3}",
    "MMM": "[A-Za-z]{3}", "MMMM": "[A-Za-z]+", "SSS": r"\d{3}", "SSSSSS": r"\d{6}", "a": "[AaPp][Mm]",
}  # fmt: skip
"""What Java reads of the fields that are not one or two digits; strptime reads more."""
_SECTION = re.compile(r"[\[\]#{}]")
_TOKEN = re.compile(r"''|'((?:[^']|'')+)'|([A-Za-z])\2*|[^A-Za-z']+|'")


def format_pattern(pattern: str, node: exp.Expr) -> str:
    """A pattern for writing dates."""
    return _translate(pattern, _FORMAT, node)


class Reading(msgspec.Struct, frozen=True):
    """How dates are read.

    Args:
        format: DuckDB's pattern, of ``before``, the text, and ``after``.
        shape: a regular expression that a text has to match, as strptime is more lenient than Java.
        before: what the text lacks in front: Java's year, where the pattern has none.
        after: what it lacks at its end: the morning, where an hour of twelve has no half of the day.
        short_year: the year has two digits; it is one after 2000.
    """

    format: str
    shape: str
    before: str
    after: str
    short_year: bool


def parse_pattern(pattern: str, node: exp.Expr) -> Reading:
    """A pattern for reading dates."""
    parts = _parts(pattern, _PARSE, node)
    fields = {part for part, is_field in parts if is_field}
    shape = "".join(_shape(part) if is_field else re.escape(part) for part, is_field in parts)
    has_year, morning = any(field[0] in "yu" for field in fields), bool(fields & {"h", "hh"}) and "a" not in fields
    format_ = ("" if has_year else "%Y ") + _written(parts, _PARSE) + (" %p" if morning else "")
    return Reading(format_, shape, "" if has_year else "1970 ", " AM" if morning else "", "yy" in fields)


def _shape(field: str) -> str:
    return _SHAPES.get(field, r"\d\d" if len(field) == 2 else r"\d\d?")


def _translate(pattern: str, table: dict[str, str], node: exp.Expr) -> str:
    return _written(_parts(pattern, table, node), table)


def _written(parts: list[tuple[str, bool]], table: dict[str, str]) -> str:
    return "".join(table[part] if is_field else part.replace("%", "%%") for part, is_field in parts)


def _parts(pattern: str, table: dict[str, str], node: exp.Expr) -> list[tuple[str, bool]]:
    """The texts of a pattern, and whether each is a field."""
    result = []
    for match in _TOKEN.finditer(pattern):
        token = match.group()
        if token == "''":
            result.append(("'", False))
        elif match.group(1) is not None:
            result.append((match.group(1).replace("''", "'"), False))
        elif match.group(2) is not None:
            if token not in table:
                raise unsupported(node, f"{token!r} in the date pattern {pattern!r}", f"valid: {', '.join(table)}")
            result.append((token, True))
        elif token == "'":
            raise misfit(node, f"a quote that never ends in the date pattern {pattern!r}", "write '' for a quote")
        else:
            sign = _SECTION.search(token)
            if sign:
                cure = "write coalesce of one call for each form" if sign.group() in "[]" else "quote it"
                raise unsupported(node, f"{sign.group()!r} in the date pattern {pattern!r}", cure)
            result.append((token, False))
    return result
