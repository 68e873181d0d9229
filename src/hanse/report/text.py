"""Numbers and names as a person reads them, and nothing that a page could not hold."""

from __future__ import annotations

import math
import re

__all__ = ["count", "decimal", "listed", "percent", "printable", "score", "shortened", "signed"]

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NAME_LIMIT = 120


def printable(text: object) -> str:
    """``text`` without what neither HTML nor SVG can hold: control characters and halves of surrogate pairs.

    >>> printable("a\\x00b")
    'a\\ufffdb'
    """
    return _UNPRINTABLE.sub("\ufffd", str(text))


def shortened(text: object, limit: int = _NAME_LIMIT) -> str:
    """A name of at most ``limit`` characters.

    >>> shortened("customer", 5)
    'cust…'
    """
    clean = printable(text).replace("\n", " ").replace("\t", " ")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def count(value: int | None) -> str:
    """A whole number; ``–`` for none.

    >>> count(12345), count(None)
    ('12,345', '–')
    """
    return "–" if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """A share of 1 in percent, with as many digits as tell something.

    >>> [percent(s) for s in (0.5, 0.0213, 0.0004, 0.00000001, 0, 1)]
    ['50 %', '2.1 %', '0.04 %', '< 0.01 %', '0 %', '100 %']
    """
    if share is None or not math.isfinite(share):
        return "–"
    value = share * 100
    if 0 < value < 0.01:
        return "< 0.01 %"
    digits = 0 if value >= 10 or value == 0 else 1 if value >= 1 else 2
    if 99 < value < 100:
        digits = 1
    return f"{value:.{digits}f} %"


def decimal(value: float | None) -> str:
    """A number with three or four significant digits.

    >>> [decimal(v) for v in (54.4848, 0.01234, 12345.6, -2.0, 0.0, None, float("nan"), 1e12, 3e-9)]
    ['54.5', '0.0123', '12,346', '-2', '0', '–', '–', '1e+12', '3e-09']
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size != 0 and (size >= 1e9 or size < 1e-4):
        return f"{value:.3g}"
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 4 if size < 0.1 else 3
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def score(value: float | None) -> str:
    """An anomaly score; digits stay below each other in a column.

    >>> score(9), score(123.456), score(12345.6)
    ('9.00', '123.5', '12,346')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0}f}"


def signed(value: float | None) -> str:
    """A difference in standard deviations, with its sign.

    >>> signed(5.234), signed(-0.04), signed(None)
    ('+5.2', '0.0', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.0f}" if abs(value) >= 100 else f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def listed(names: list[str] | tuple[str, ...], word: str = "and") -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
