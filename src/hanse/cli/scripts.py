"""Scripts as the command line names them: files, ``-`` for stdin, or a text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanse.errors import HanseError, SqlError, UsageError

__all__ = ["FailedScript", "Script", "check_not_empty", "read_script", "read_scripts"]


@dataclass(frozen=True)
class Script:
    """A text to run, and what errors call it."""

    name: str
    text: str


class FailedScript(Exception):  # noqa: N818  # it carries an error, and is none of its own
    """An error together with the script that it happened in."""

    def __init__(self, error: HanseError, script: Script) -> None:
        super().__init__(str(error))
        self.error = error
        self.script = script


def read_scripts(files: Sequence[str]) -> list[Script]:
    """Read all scripts before any of them runs.

    Raises:
        UsageError: a file is missing, a folder, unreadable, not UTF-8 or without a statement; stdin stands twice.
        FailedScript: a string or comment never ends.
    """
    if files.count("-") > 1:
        raise UsageError("- (stdin) stands twice: it can be read once")
    scripts = [read_script(file) for file in files]
    for script in scripts:
        check_not_empty(script)
    return scripts


def read_script(file: str) -> Script:
    """One script.

    Raises:
        UsageError: it is missing, a folder, unreadable or not UTF-8.
    """
    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"script {file} does not exist: check the path{_nearby(file)}") from None
    except IsADirectoryError:
        raise UsageError(f"script {file} is a folder: name the files in it, as in {file.rstrip('/')}/*.sql") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"script {file} cannot be read: {reason}: check the path and its permissions") from None
    return Script(name, _decode(data, name))


def _nearby(file: str) -> str:
    path = Path(file)
    try:
        names = sorted(p.name for p in path.parent.glob("*.sql"))
    except OSError:
        return ""
    if not names:
        return ""
    from hanse.errors import nearest

    return f" ({nearest(path.name, names)})"


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"script {name} is UTF-16: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02x} on line {line}"
        raise UsageError(f"script {name} is not UTF-8 text ({what}): save it as UTF-8") from None


def check_not_empty(script: Script) -> None:
    """Refuse a script without a statement.

    Raises:
        UsageError: it is empty or holds comments only.
        FailedScript: a string or comment never ends.
    """
    from hanse.sql.lexer import statements

    try:
        first = next(statements(script.text), None)
    except SqlError as error:
        raise FailedScript(error, script) from error
    if first is None:
        raise UsageError(f"{script.name} has no statement to run: it is empty or holds comments only")
