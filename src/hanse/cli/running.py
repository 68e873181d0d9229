"""From arguments to an exit code: every error becomes a message on stderr, none a traceback.

Exit codes: 0; 2 for bad usage or SQL; 130 for Ctrl-C; 141 when the reader of a pipe went away; 1 for anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.errors import CancelledError, HanseError, SqlError

if TYPE_CHECKING:
    from hanse.cli.scripts import Script

__all__ = ["BROKEN_PIPE", "excerpt", "report", "run"]

BROKEN_PIPE = 141
_WIDTH = 120


def run(arguments: Sequence[str]) -> int:
    """Run a command and say how it ended.

    Args:
        arguments: without the program's name.

    Returns:
        the exit code.
    """
    from hanse.cli.scripts import FailedScript

    _write_anything()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except FailedScript as failure:
        code = report(failure.error, failure.script)
    except HanseError as error:
        code = report(error)
    except KeyboardInterrupt:
        code = report(CancelledError("cancelled"))
    except BrokenPipeError:
        return _silenced()
    except Exception as error:  # noqa: BLE001  # the last resort: a bug in Hanse, told in one line
        code = _internal(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _silenced()
    except OSError as error:
        _silence()
        return code or _say(f"cannot write the output: {error.strerror}", 1)
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    """Parse the arguments, then do what they say, outside of the argument parser and its own handling of errors."""
    from typer.exceptions import TyperException

    from hanse.cli.app import app

    try:
        action = app(args=list(arguments), prog_name="hanse", standalone_mode=False)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "hanse"
        return _say(f"{error.format_message().rstrip('.')}: see {command} --help", error.exit_code)
    if callable(action):
        action()
        return 0
    return int(action or 0)


def report(error: HanseError, script: Script | None = None) -> int:
    """Say what went wrong, with the line of the script and a caret under the column.

    Returns:
        the error's exit code.
    """
    lines = [str(error)]
    if script is not None and isinstance(error, SqlError) and error.position is not None:
        lines += excerpt(script, error.position.line, error.position.column)
    if script is not None and len(lines) == 1 and not isinstance(error, CancelledError):
        lines.append(f"  in {script.name}")
    return _say("\n".join(lines), error.exit_code, error)


def excerpt(script: Script, line: int, column: int) -> list[str]:
    """The script's line with a caret under the column; a long line is cut around it.

    >>> from hanse.cli.scripts import Script
    >>> print("\\n".join(excerpt(Script("a.sql", "SELECT 1,\\n  x"), 2, 3)))
      in a.sql, line 2
      2 |   x
        |   ^
    """
    lines = script.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    text = lines[line - 1] if line <= len(lines) else ""
    start = max(0, column - _WIDTH * 2 // 3) if len(text) > _WIDTH else 0
    shown = "".join(c if c.isprintable() else " " for c in text[start : start + _WIDTH])
    margin = " " * len(str(line))
    return [
        f"  in {script.name}, line {line}",
        f"  {line} | {shown}",
        f"  {margin} | {' ' * _cells(shown[: column - 1 - start])}^",
    ]


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _say(message: str, code: int, error: BaseException | None = None) -> int:
    from hanse.cli.terminal import paint

    if error is not None and os.environ.get("HANSE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    try:
        sys.stdout.flush()
    except OSError:
        _silence()
    first, *rest = message.split("\n")
    print("\n".join([f"{paint('error:', '1;31')} {first}", *rest]), file=sys.stderr)  # noqa: T201  # the command line speaks
    return code


def _internal(error: Exception) -> int:
    if isinstance(error, OSError) and error.strerror:
        return _say(f"{error.filename or 'the output'}: {error.strerror}", 1, error)
    detail = " ".join(str(error).split())[:300]
    hint = "" if os.environ.get("HANSE_DEBUG") else " (HANSE_DEBUG=1 shows where; please report it)"
    return _say(f"internal error: {type(error).__name__}: {detail}{hint}", 1, error)


def _write_anything() -> None:
    """Let a terminal that cannot show a character show its code instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Nobody reads stdout any more: send the rest nowhere, so that Python's own last flush is silent too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silenced() -> int:
    _silence()
    return BROKEN_PIPE
