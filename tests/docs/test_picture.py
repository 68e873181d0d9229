"""The README's picture shows what the demo prints."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path
from types import ModuleType

from pages import ROOT


def _maker() -> ModuleType:
    path = ROOT / "docs" / "img" / "make_demo_picture.py"
    spec = importlib.util.spec_from_file_location("make_demo_picture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _words(svg: str) -> list[str]:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return " ".join(html.unescape(text).replace("\xa0", " ") for text in texts).split()


def test_the_picture_is_the_demos_output(tmp_path: Path) -> None:
    maker = _maker()
    text = maker.shown(maker.demo_output(tmp_path))
    drawn = _words(maker.PICTURE.read_text(encoding="utf-8"))
    assert drawn == _words(maker.draw(text)), "draw it anew: .venv/bin/python docs/img/make_demo_picture.py"
    assert set(text.split()) <= set(drawn)


def test_the_picture_needs_nothing_from_the_network() -> None:
    svg = _maker().PICTURE.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", svg)) <= {"http://www.w3.org/2000/svg"}
