"""Java's date patterns (``yyyy-MM-dd``) as DuckDB's (``%Y-%m-%d``)."""

from __future__ import annotations

import re

from sqlglot import exp

from hanse.sql.rendering.values import misfit, unsupported

__all__ = ["format_pattern", "parse_pattern"]

_FORMAT = {
    "y": "%Y", "yyyy": "%Y", "yy": "%y", "u": "%Y", "uuuu": "%Y",
    "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "L": "%-m", "LL": "%m",
    "d": "%-d", "dd": "%d", "D": "%-j", "DDD": "%j",
    "H": "%-H", "HH": "%H", "h": "%-I", "hh": "%I",
    "m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S", "SSS": "%g", "SSSSSS": "%f",
    "a": "%p", "E": "%a", "EE": "%a", "EEE": "%a", "EEEE": "%A",
}  # fmt: skip
_PARSE = {letters: sign.replace("%-", "%") for letters, sign in _FORMAT.items() if not letters.startswith("E")}
_TOKEN = re.compile(r"''|'((?:[^']|'')+)'|([A-Za-z])\2*|[^A-Za-z']+|'")


def format_pattern(pattern: str, node: exp.Expr) -> str:
    """A pattern for writing dates."""
    return _translate(pattern, _FORMAT, node)


def parse_pattern(pattern: str, node: exp.Expr) -> str:
    """A pattern for reading dates."""
    return _translate(pattern, _PARSE, node)


def _translate(pattern: str, table: dict[str, str], node: exp.Expr) -> str:
    result = ""
    for match in _TOKEN.finditer(pattern):
        token = match.group()
        if token == "''":
            result += "'"
        elif match.group(1) is not None:
            result += match.group(1).replace("''", "'").replace("%", "%%")
        elif match.group(2) is not None:
            if token not in table:
                raise unsupported(node, f"{token!r} in the date pattern {pattern!r}", f"valid: {', '.join(table)}")
            result += table[token]
        elif token == "'":
            raise misfit(node, f"a quote that never ends in the date pattern {pattern!r}", "write '' for a quote")
        else:
            result += token.replace("%", "%%")
    return result
