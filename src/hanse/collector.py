"""Python's garbage collector, asked to look less often where much is made at once and little of it dropped."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator
from importlib import import_module

__all__ = ["leave_quickly", "load", "patient"]

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


def load(*modules: str) -> None:
    """Import large modules; what they make stays, so all objects count as old then, and are not looked at while young.

    Where nothing is left to import, nothing is done: garbage must not grow old with every call.
    """
    if all(module in sys.modules for module in modules):
        return
    with patient():
        for module in modules:
            import_module(module)
        if not gc.get_freeze_count():  # else somebody relies on what is frozen
            gc.freeze()
            gc.unfreeze()


def leave_quickly() -> None:
    """When Python ends, do not look through every object for garbage first: the system takes the memory back whole."""
    atexit.register(gc.freeze)
