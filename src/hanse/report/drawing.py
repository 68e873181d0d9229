"""Vega-Lite specifications as SVG that stands inside a page: no script, no network, no identifier twice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree as ET

from hanse.errors import HanseError

__all__ = ["Draughtsman"]

_SVG: Final = "{http://www.w3.org/2000/svg}"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_TAGS: Final = frozenset({"svg", "g", "path", "line", "text", "tspan", "a", "rect", "defs", "clipPath", "title"})
_KEPT: Final = frozenset(
    (
        *("clip-path", "class", "d", "height", "id", "transform", "viewBox", "width"),
        *("cx", "cy", "dx", "dy", "r", "x", "x1", "x2", "y", "y1", "y2"),
        *(
            "fill",
            "fill-opacity",
            "opacity",
            "stroke",
            "stroke-dasharray",
            "stroke-miterlimit",
            "stroke-opacity",
            "stroke-width",
        ),
        *("font-size", "font-style", "font-weight", "text-anchor"),
    )
)
_LONG: Final = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE: Final = re.compile(r"url\(#([^)]*)\)")


class Draughtsman:
    """Draws the pictures of one page.

    Vega-Lite runs here, once, and not in the reader's browser: the page needs no library, shows its pictures at once,
    also on paper and where scripts are off, and its colours are CSS variables that follow the reader's scheme.
    """

    def __init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count()

    def svg(self, spec: dict[str, Any], *, label: str) -> str:
        """A picture as an ``<svg>`` element.

        Args:
            spec: Vega-Lite's; colours may be CSS variables, links are fragments of the page.
            label: what it shows, for those who do not see it.

        Raises:
            HanseError: the picture cannot be drawn.
        """
        import vl_convert

        try:
            text = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        except ValueError as error:
            raise HanseError(f"a picture of the report cannot be drawn: {error}") from None
        root = ET.fromstring(text)  # our own library's output
        linked = any(True for _ in root.iter(f"{_SVG}a"))
        _clean(root, f"g{next(self._numbers)}-", {})
        root.set("class", "chart")
        root.set("role", "group" if linked else "img")
        root.set("aria-label", label)
        width, height = root.attrib["width"], root.attrib["height"]
        root.set("viewBox", f"0 0 {width} {height}")
        return ET.tostring(root, encoding="unicode")


def _clean(element: ET.Element, prefix: str, names: dict[str, str]) -> None:
    """Keep what is drawn, and links into the page; drop everything else."""
    _name(element)
    link, label = element.attrib.get(_LINK, ""), ""
    if element.tag == "a" and len(element):
        label = element[0].attrib.get("aria-label", "")
    kept = {k: _shorter(v) for k, v in element.attrib.items() if k in _KEPT}
    if "id" in kept:
        kept["id"] = names.setdefault(kept["id"], f"{prefix}{len(names)}")
    for key, value in kept.items():
        kept[key] = _REFERENCE.sub(lambda found: f"url(#{names.setdefault(found[1], f'{prefix}{len(names)}')})", value)
    kept.pop("class", None)
    if kept.get("opacity") == "1":
        del kept["opacity"]
    element.attrib.clear()
    element.attrib.update(kept)
    if element.tag == "a":
        element.set("href", f"#{link.rpartition('#')[2]}")
        element.set("data-row", link.rpartition("#")[2])
        element.set("aria-label", label)
    for child in list(element):
        if _is_drawn(child):
            _clean(child, prefix, names)
            if child.tag == "g" and not len(child):
                element.remove(child)
        else:
            element.remove(child)


def _name(element: ET.Element) -> None:
    element.tag = element.tag.removeprefix(_SVG)


def _is_drawn(element: ET.Element) -> bool:
    if element.tag.removeprefix(_SVG) not in _TAGS or element.attrib.get("display") == "none":
        return False
    if element.attrib.get("opacity") == "0":
        return False
    is_empty = element.attrib.get("d") in ("", "M0,0h0v0h0Z")
    frame = element.attrib.get("class") == "background" and "stroke" not in element.attrib
    return not is_empty and not (frame and "fill" not in element.attrib)


def _shorter(value: str) -> str:
    return _LONG.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
