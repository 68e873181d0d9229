"""Python's garbage collector, asked to look less often where much is made at once and little of it dropped."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator

__all__ = ["leave_quickly", "patient"]

_OBJECTS = 50_000
"""So many new objects make the collector look, instead of Python's 700."""


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """For as long as an import makes many lasting objects, or a statement, or a silo, many small syntax trees."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _OBJECTS) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def leave_quickly() -> None:
    """When Python ends, do not look through every object for garbage first: the system takes the memory back whole."""
    atexit.register(gc.freeze)
