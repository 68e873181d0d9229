"""The output formats: what a result looks like on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol

from hanse.cli.values import csv_field, json_bytes, plain_columns
from hanse.errors import HanseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.session.result import Result

__all__ = ["FORMATS", "ROW_KINDS", "Writer", "open_writer"]

ROW_KINDS = frozenset(
    {
        "describe_model",
        "describe_table",
        "explain",
        "explain_egress",
        "select",
        "show_egress",
        "show_models",
        "show_silos",
        "show_tables",
    }
)
"""Kinds of statements whose rows are what the user asked for; the other kinds report what they did."""

_HELD_BYTES = 8 * 2**20


class Writer(Protocol):
    """Writes the results of a run, one after the other."""

    def write(self, number: int, result: Result) -> None:
        """Write a result, reading its rows to the end.

        Args:
            number: the statement's number in the whole run, from 1.
            result: not read yet.

        Raises:
            HanseError: the rows fail while they are read.
        """
        ...

    def finish(self) -> None:
        """Write what was held back until the last result."""
        ...


class JsonLines:
    """One JSON object per statement and line.

    A line is held back until the statement's rows were read or 8 MB are full, so a statement that fails leaves no line;
    one that fails later closes its line with an ``error``.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, number: int, result: Result) -> None:
        """Write a result's line."""
        head = json_bytes({"statement": number, "kind": result.kind, "columns": result.columns})[:-1]
        held = bytearray(head + b',"rows":[')
        flushed = False
        separator = b""
        try:
            for batch in result.reader():
                if not batch.num_rows:
                    continue
                held += separator + json_bytes(list(zip(*plain_columns(batch), strict=True)))[1:-1]
                separator = b","
                if len(held) > _HELD_BYTES:
                    self._out.write(held)
                    held.clear()
                    flushed = True
        except HanseError as error:
            if flushed:
                self._out.write(bytes(held) + b'],"error":' + json_bytes(str(error)) + b"}\n")
            raise
        tail = {"warnings": result.warnings, "elapsed_s": round(result.elapsed_s, 6)}
        self._out.write(bytes(held) + b"]," + json_bytes(tail)[1:] + b"\n")
        self._out.flush()

    def finish(self) -> None:
        """Nothing is held back."""


class Csv:
    """A header and rows for each result that is made of rows, a blank line between two.

    Where no statement gives rows, the last report (``model_id,model,version``, say) is written instead.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._report: list[str] | None = None
        self._wrote = False

    def write(self, number: int, result: Result) -> None:
        """Write a header and rows."""
        header = self._line(result.columns)
        if result.kind not in ROW_KINDS:
            self._report = [header, *self._lines(result)]
            return
        self._out.write((("\n" if self._wrote else "") + header).encode())
        self._wrote = True
        for line in self._lines(result):
            self._out.write(line.encode())
        self._out.flush()

    def _lines(self, result: Result) -> list[str] | map[str]:
        rows = (row for batch in result.reader() for row in zip(*plain_columns(batch), strict=True))
        return map(self._line, rows)

    @staticmethod
    def _line(row: object) -> str:
        """A row; a single empty field is quoted, for a blank line would be no row."""
        return (",".join(map(csv_field, row)) or '""') + "\n"  # type: ignore[call-overload]  # rows are tuples or lists

    def finish(self) -> None:
        """Write the last report where there were no rows."""
        if not self._wrote and self._report:
            self._out.write("".join(self._report).encode())
        self._out.flush()


class Arrow:
    """The last result that is made of rows, or else the last report, as an Arrow IPC stream."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._last: Result | None = None

    def write(self, number: int, result: Result) -> None:
        """Hold the result back; a later one takes its place."""
        if self._last is None or result.kind in ROW_KINDS or self._last.kind not in ROW_KINDS:
            self._last = result

    def finish(self) -> None:
        """Stream the result that is left."""
        import pyarrow as pa

        if self._last is None:
            return
        reader = self._last.reader()
        with pa.ipc.new_stream(pa.PythonFile(self._out, mode="w"), reader.schema) as stream:
            for batch in reader:
                stream.write_batch(batch)
        self._out.flush()


def _table(rows: int) -> Writer:
    from hanse.cli.tables import Tables

    return Tables(rows)


def _arrow(rows: int) -> Writer:
    if sys.stdout.isatty():
        raise UsageError("--format arrow is binary: send it to a file (> result.arrow) or a pipe, not to a terminal")
    return Arrow(sys.stdout.buffer)


_WRITERS: dict[str, Callable[[int], Writer]] = {
    "table": _table,
    "json": lambda rows: JsonLines(sys.stdout.buffer),
    "csv": lambda rows: Csv(sys.stdout.buffer),
    "arrow": _arrow,
}

FORMATS = tuple(_WRITERS)
"""What ``--format`` may say."""


def open_writer(name: str, rows: int) -> Writer:
    """A writer to stdout.

    Args:
        name: one of `FORMATS`, in any case.
        rows: how many rows a table shows; 0 shows all.

    Raises:
        UsageError: an unknown format, or binary output to a terminal.
    """
    from hanse.errors import nearest

    make = _WRITERS.get(name.lower())
    if make is None:
        raise UsageError(f"--format {name}: unknown format: {nearest(name, FORMATS)}")
    return make(rows)
