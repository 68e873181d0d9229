"""The terminal: consoles, colours only where a person looks, notes and warnings on stderr, progress of long work."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

__all__ = ["TrainingStatus", "note", "paint", "stderr_console", "stdout_console", "warn"]

_PIPE_WIDTH = 100_000  # nothing is wrapped or cut where a program reads


def stdout_console() -> Console:
    """The console on stdout; as wide as need be where stdout is no terminal."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """The console on stderr."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would leave the process

    if file.isatty():
        return Plain(file=file)
    return Plain(file=file, width=_PIPE_WIDTH, no_color=True, force_terminal=False)


def paint(text: str, code: str) -> str:
    """``text`` in an ANSI style if stderr is a terminal that takes colours."""
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\x1b[{code}m{text}\x1b[0m" if colours else text


def warn(message: str) -> None:
    """A warning on stderr, yellow on a terminal."""
    sys.stdout.flush()
    print(paint(f"warning: {message}", "33"), file=sys.stderr, flush=True)  # noqa: T201  # the command line speaks


def note(message: str) -> None:
    """An aside on stderr, dim on a terminal."""
    sys.stdout.flush()
    print(paint(message, "2"), file=sys.stderr, flush=True)  # noqa: T201  # the command line speaks


class TrainingStatus:
    """A line on stderr that shows the round of a training, and goes away; silent where stderr is no terminal.

    >>> TrainingStatus().text("training", {"round": 3, "inertia": 1234.5})
    'training: round 3, inertia 1234.5'
    """

    def __init__(self) -> None:
        self._status: Status | None = None
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> TrainingStatus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, step: str, numbers: Mapping[str, float]) -> None:
        """Show a round; called by a session."""
        if not self._shown:
            return
        if self._status is None:
            self._status = stderr_console().status("", spinner="dots")
            self._status.start()
        self._status.update(self.text(step, numbers))

    @staticmethod
    def text(step: str, numbers: Mapping[str, float]) -> str:
        """What the line says."""
        return f"{step}: " + ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())

    def stop(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._status is not None:
            self._status.stop()
            self._status = None
