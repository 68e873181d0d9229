"""Python's garbage collector, asked to look less often where much is made at once and little of it dropped."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
import threading
from collections.abc import Iterator
from importlib import import_module

__all__ = ["leave_quickly", "load", "patient"]

_OBJECTS = 50_000
"""So many new objects make the collector look, instead of Python's 700."""


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """For as long as an import makes many lasting objects, or a statement, or a silo, many small syntax trees.

    Threads may be in such a block at once: the first to enter sets the collector, the last to leave sets it back.
    """
    with _PATIENT.lock:
        if not _PATIENT.inside:
            _PATIENT.before = gc.get_threshold()
            first, *others = _PATIENT.before
            gc.set_threshold(max(first, _OBJECTS) if first else 0, *others)
        _PATIENT.inside += 1
    try:
        yield
    finally:
        with _PATIENT.lock:
            _PATIENT.inside -= 1
            if not _PATIENT.inside:
                gc.set_threshold(*_PATIENT.before)


class _Patient:
    """How many blocks are patient now, and what the collector is set back to."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before = gc.get_threshold()


_PATIENT = _Patient()


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
