"""How the pictures are built of Vega-Lite: bars, heat maps, frames, at the widths of a page and of a phone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hanse.report.text import shortened

__all__ = [
    "HALF",
    "PHONE",
    "WIDE",
    "Drawing",
    "Spec",
    "at_both",
    "by_cluster",
    "distinct",
    "framed",
    "heat",
    "own_colour",
    "quantity",
]

Spec = dict[str, Any]

HALF: Final = 440
"""The width of a picture, two of which stand side by side."""

WIDE: Final = 920
PHONE: Final = 350

_MANY: Final = 5  # more columns than these take the page's whole width
_BAR: Final = 30
_ROW_NAME: Final = 24  # characters of a row's name
_PHONE_ROW_NAME: Final = 18
_CHARACTER: Final = 7.8  # pixels of a wide font; the reader's may be wider than the one that is measured here


@dataclass(frozen=True)
class Drawing:
    """A picture, for a wide page and for a narrow one.

    Args:
        wide: the specification.
        narrow: for a phone.
        description: what it shows, for those who do not see it.
        half: whether two stand side by side on a wide page.
    """

    wide: Spec
    description: str
    narrow: Spec
    half: bool = True


def heat(cells: list[Spec], column_title: str, palette: str, description: str) -> Drawing:
    """A heat map.

    Args:
        cells: each with its ``row`` and ``column``, the ``text`` in it, and the ``step`` of its colour.
        column_title: what columns are.
        palette: CSS variables are ``--{palette}{step}``, and ``--{palette}t{step}`` for the text on it.
        description: what it shows.
    """
    columns = list(dict.fromkeys(cell["column"] for cell in cells))
    half = len(columns) <= _MANY

    def at(width: int) -> Spec:
        return _heat_at(cells, columns, column_title, palette, width)

    return Drawing(at(HALF if half else WIDE), description, at(PHONE), half)


def _heat_at(cells: list[Spec], columns: list[str], column_title: str, palette: str, width: int) -> Spec:
    def colour(field: str) -> Spec:
        return {"field": field, "type": "nominal", "scale": None, "legend": None}

    limit = _ROW_NAME if width > PHONE else _PHONE_ROW_NAME
    labels = distinct([cell["row"] for cell in cells], limit)
    values = [
        {
            **cell,
            "row": labels[cell["row"]],
            "fill": f"var(--{palette}{cell['step']})",
            "ink": f"var(--{palette}t{cell['step']})",
        }
        for cell in cells
    ]
    extent = round(_CHARACTER * max(map(len, labels.values())))
    fits = (width - extent) / len(columns) >= _CHARACTER * max(len(cell["text"]) for cell in cells)
    bare = {"domain": False, "ticks": False, "grid": False}
    x = {
        "field": "column",
        "type": "nominal",
        "sort": columns,
        "title": column_title,
        "axis": {"orient": "top", "labelAngle": 0, **bare},
    }
    y = {
        "field": "row",
        "type": "nominal",
        "sort": list(labels.values()),
        "title": None,
        "axis": {"minExtent": extent, "labelLimit": extent, **bare},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "var(--card)", "strokeWidth": 2, "cornerRadius": 3},
            "encoding": {"color": colour("fill")},
        }
    ]
    if fits:  # the table beside the picture has the numbers in any case
        layers.append({"mark": {"type": "text"}, "encoding": {"text": {"field": "text"}, "color": colour("ink")}})
    return framed(
        {"data": {"values": values}, "encoding": {"x": x, "y": y}, "layer": layers}, width, {"step": _BAR + 4}
    )


def distinct(names: Sequence[str], limit: int) -> dict[str, str]:
    """Each name in at most ``limit`` characters, and none like another's.

    >>> distinct(["total_orders", "total_order_value"], 9)
    {'total_orders': 'total_or…', 'total_order_value': 'total…(2)'}
    """
    labels: dict[str, str] = {}
    for name in dict.fromkeys(names):
        label, number = shortened(name, limit), 1
        while label in labels.values():
            number += 1
            label = f"{shortened(name, limit - len(str(number)) - 2)}({number})"
        labels[name] = label
    return labels


def at_both(draw: Callable[[int], Spec], description: str) -> Drawing:
    """A picture that takes half of a wide page, at both widths."""
    return Drawing(draw(HALF), description, draw(PHONE))


def by_cluster(rows: list[Spec], layers: list[Spec], width: int) -> Spec:
    """Layers over the same rows, one below the other by their ``cluster``."""
    names = [row["cluster"] for row in rows]
    y = {
        "field": "cluster",
        "type": "nominal",
        "sort": names,
        "title": "cluster",
        "axis": {"domain": False, "ticks": False, "grid": False},
    }
    for layer in layers:
        layer["encoding"].setdefault("y", y)
    return framed({"data": {"values": rows}, "layer": layers}, width, {"step": _BAR})


def quantity(field: str, title: str, *, domain: list[float], values: list[float], digits: str = "~g") -> Spec:
    """A horizontal axis of numbers."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"domain": domain, "nice": False},
        "axis": {"format": digits, "values": values, "domain": False},
    }


def own_colour() -> Spec:
    """A colour that stands in the row itself."""
    return {"field": "colour", "type": "nominal", "scale": None, "legend": None}


def framed(spec: Spec, width: int, height: int | Spec) -> Spec:
    """A whole specification of that width, in the page's colours.

    Args:
        spec: what is drawn.
        width: in pixels, everything included.
        height: likewise, or of each row.
    """
    fit = "fit" if isinstance(height, int) else "fit-x"
    text = {"labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 13, "titleFontSize": 13}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "padding": 4,
        "autosize": {"type": fit, "contains": "padding"},
        **spec,
        "config": {
            "background": None,
            "font": "Helvetica, Arial, sans-serif",
            "view": {"stroke": None},
            "text": {"fontSize": 13},
            "axis": {
                **text,
                "titleFontWeight": "normal",
                "gridColor": "var(--line)",
                "domainColor": "var(--line)",
                "tickColor": "var(--line)",
                "titlePadding": 8,
            },
        },
    }
