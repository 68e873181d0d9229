"""``--param name=value``: what a value's text means."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

from hanse.errors import UsageError
from hanse.types import Value

__all__ = ["parse_parameters", "parse_value"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_REAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}
_INT64 = range(-(2**63), 2**63)


def parse_parameters(texts: Iterable[str]) -> dict[str, Value]:
    """Values by name.

    >>> parse_parameters(["start=2011-10-01", "k=3", "share=0.5", "store='007'", "on=true"])
    {'start': datetime.date(2011, 10, 1), 'k': 3, 'share': 0.5, 'store': '007', 'on': True}

    Raises:
        UsageError: not of the form ``name=value``, a name given twice, or a date that is none.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise UsageError(f"--param {text}: need name=value, such as --param start_date=2011-10-01")
        if not _NAME.fullmatch(name):
            dollar = name.startswith("$") and _NAME.fullmatch(name[1:])
            cure = "leave out the $" if dollar else "need letters, digits and _"
            raise UsageError(f"--param {text}: {name!r} is not a parameter's name: {cure}")
        if name in values:
            raise UsageError(f"--param {text}: {name} is given twice: leave one out")
        values[name] = parse_value(value, f"--param {text}")
    return values


def parse_value(text: str, where: str) -> Value:
    """What a value's text means: a number, a date, a timestamp, true, false, null, or else the text itself.

    Quotes make it a text whatever it looks like. Digits that begin with a zero are a text too (an article number, say).
    A timestamp with an offset is turned into UTC, which is every session's zone.

    Raises:
        UsageError: it looks like a date, but there is no such day or time.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(text[0] * 2, text[0])
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        whole = int(text) if len(text) <= 40 else 2**64
        if whole not in _INT64:
            raise UsageError(f"{where}: more than 64 bits hold: quote it to pass a text, or write it as 1e20")
        return whole
    if _REAL.fullmatch(text):
        return float(text)
    try:
        if _DATE.fullmatch(text):
            return datetime.date.fromisoformat(text)
        if _TIMESTAMP.fullmatch(text):
            return _utc(datetime.datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where}: {error}: correct it, or quote it to pass a text") from None
    return text


def _utc(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)
