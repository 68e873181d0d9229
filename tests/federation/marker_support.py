"""Finds values of rows in bytes, however they were written: as numbers, as text, in base64, in hex."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["FORMS", "Markers", "forms_of_number", "forms_of_text"]

_WINDOW = 8  # bytes; no form is shorter
_DIGITS = 11  # of a number as text: enough that no other number begins with them

FORMS = ("little endian", "big endian", "text", "exponent", "utf-16", "hex", "base64")


def forms_of_number(value: float) -> Iterator[tuple[str, bytes]]:
    """A float64 in every form that is searched for; msgpack and CBOR write it big endian, Arrow little endian."""
    yield from _encoded(struct.pack("<d", value), "little endian")
    yield from _encoded(struct.pack(">d", value), "big endian")
    whole = f"{abs(value):.25f}"
    text = whole[: len(whole) - len(whole.lstrip("0.")) + _DIGITS]
    yield "text", text.encode()
    yield "exponent", f"{abs(value):.16e}"[:_DIGITS].encode()
    yield from _encoded(text.encode(), "")


def forms_of_text(value: str) -> Iterator[tuple[str, bytes]]:
    """A text in every form that is searched for."""
    assert value.isascii()
    assert len(value) >= _WINDOW
    yield from _encoded(value.encode(), "text")
    yield "utf-16", value.encode("utf-16-le")


def _encoded(raw: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """As it is, in hex, and in base64 wherever in a longer text it may stand."""
    if name:
        yield name, raw
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        inner = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield "base64", inner
        yield "base64", inner.replace(b"+", b"-").replace(b"/", b"_")


class Markers:
    """What must not be found.

    Args:
        numbers: values of rows.
        texts: ids and other texts of rows.
    """

    def __init__(self, numbers: Iterable[float], texts: Iterable[str]) -> None:
        self._numbers = {float(value) for value in numbers}
        self._forms: dict[bytes, list[tuple[bytes, str]]] = {}
        for number in self._numbers:
            self._note(repr(number), forms_of_number(number))
        for text in texts:
            self._note(text, forms_of_text(text))
        starts = np.frombuffer(b"".join(self._forms), dtype=np.uint64)
        self._starts = np.sort(starts)

    def _note(self, name: str, forms: Iterator[tuple[str, bytes]]) -> None:
        for form, data in forms:
            assert len(data) >= _WINDOW, (name, form, data)
            self._forms.setdefault(data[:_WINDOW], []).append((data, f"{name} ({form})"))

    def __len__(self) -> int:
        return sum(len(forms) for forms in self._forms.values())

    def found(self, data: bytes) -> list[str]:
        """Which markers stand in the bytes, and in which form."""
        if len(data) < _WINDOW:
            return []
        windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, dtype=np.uint8), _WINDOW)
        hits: set[str] = set()
        for start in range(0, len(windows), 1 << 20):
            block = np.ascontiguousarray(windows[start : start + (1 << 20)]).view(np.uint64).ravel()
            place = np.minimum(np.searchsorted(self._starts, block), len(self._starts) - 1)
            for i in np.flatnonzero(self._starts[place] == block):
                at = start + int(i)
                for form, name in self._forms[data[at : at + _WINDOW]]:
                    if data.startswith(form, at):
                        hits.add(name)
        return sorted(hits)

    def among(self, value: Any) -> list[str]:
        """Which numbers stand in decoded data, to the last bit, whatever text they were read from."""
        if isinstance(value, bool) or value is None:
            return []
        if isinstance(value, int | float):
            return [repr(float(value))] if float(value) in self._numbers or -float(value) in self._numbers else []
        if isinstance(value, str):
            return self.found(value.encode())
        if isinstance(value, Mapping):
            return [name for pair in value.items() for part in pair for name in self.among(part)]
        return [name for part in value for name in self.among(part)]
