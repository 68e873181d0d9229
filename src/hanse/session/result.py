"""What a statement gives: its rows, as a stream, and what a person should know about it."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from hanse.errors import CancelledError, DataError, HanseError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Facts", "Result", "Stream"]

_SHOWN_ROWS = 40


class Stream:
    """A result's record batches, from the engine or, once they are kept, from memory.

    Args:
        reader: where they come from.
        started: when the statement began, of ``time.perf_counter``.
        explain: turns an error of the stream into one that says more.
    """

    def __init__(
        self,
        reader: pa.RecordBatchReader | Facts,
        started: float | None = None,
        explain: Callable[[HanseError], HanseError] | None = None,
    ) -> None:
        self._reader: Iterator[pa.RecordBatch] | None = iter(reader)
        self._kept: deque[pa.RecordBatch] = deque()
        self._started = time.perf_counter() if started is None else started
        self._explain = explain
        self._failed: HanseError | None = None
        self.elapsed_s = time.perf_counter() - self._started

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._kept:
            return self._kept.popleft()
        if self._failed is not None:
            raise self._failed
        batch = self._read()
        if batch is None:
            raise StopIteration
        return batch

    def keep(self) -> None:
        """Read what is left into memory, so that the engine is free for another statement.

        An error is for whoever reads the rows, when they come to it.

        Raises:
            CancelledError: Ctrl-C.
        """
        try:
            while (batch := self._read()) is not None:
                self._kept.append(batch)
        except CancelledError:
            raise
        except HanseError:
            pass

    def _read(self) -> pa.RecordBatch | None:
        """The engine's next batch; after the last one, or an error, the engine is let go."""
        if self._reader is None:
            return None
        batch: pa.RecordBatch | None = None
        try:
            batch = next(self._reader, None)
        except HanseError as error:
            self._failed = self._explain(error) if self._explain else error
            raise self._failed from None
        finally:
            if batch is None:
                self._reader = None
                self.elapsed_s = time.perf_counter() - self._started
        return batch


class Result:
    """One statement's result; rows stream from the engine and can be read once.

    Running another statement in the same session first reads what is left into memory, so a result stays valid.

    Args:
        statement: its number in the script, from 1.
        kind: ``select``, ``create_model`` ...; lower snake case.
        reader: the stream of record batches.
        warnings: what the user should know.
        started: when the statement began, of ``time.perf_counter``.
        explain: turns an error of the stream into one that says more.
    """

    def __init__(
        self,
        statement: int,
        kind: str,
        reader: pa.RecordBatchReader | Facts,
        warnings: Sequence[str] = (),
        started: float | None = None,
        explain: Callable[[HanseError], HanseError] | None = None,
    ) -> None:
        self.statement = statement
        self.kind = kind
        self.warnings = list(warnings)
        self.stream = Stream(reader, started, explain)
        self._shape = reader if isinstance(reader, Facts) else reader.schema  # a stream is the engine's, and let go
        self._was_read = False

    @property
    def elapsed_s(self) -> float:
        """Seconds from the statement's start until its rows were read, or until there were rows to read."""
        return self.stream.elapsed_s

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self._shape.names)

    @property
    def schema(self) -> pa.Schema:
        """The columns' names and Arrow types."""
        return self._shape.schema if isinstance(self._shape, Facts) else self._shape

    def reader(self) -> pa.RecordBatchReader:
        """The rows as a stream of record batches.

        Raises:
            UsageError: they were read already.
        """
        import pyarrow as pa

        if self._was_read:
            raise UsageError("this result was read already: keep what arrow() or fetchall() gave, or run it again")
        self._was_read = True
        return pa.RecordBatchReader.from_batches(self.schema, self.stream)

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self.reader().read_all()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples."""
        return list(self)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rows as tuples, batch by batch.

        Raises:
            DataError: a date or time that Python cannot hold.
        """
        for batch in self.reader():
            columns = map(_values, batch.schema.names, batch.columns)
            yield from zip(*columns, strict=True)

    def df(self) -> pd.DataFrame:
        """All rows as a pandas DataFrame.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401  # pyarrow needs it
        except ImportError:
            raise UsageError("df() needs pandas: pip install 'hanse[pandas]'") from None
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def pl(self) -> pl.DataFrame:
        """All rows as a polars DataFrame.

        Raises:
            UsageError: polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise UsageError("pl() needs polars: pip install 'hanse[polars]'") from None
        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)  # a table gives a frame
        return frame

    def show(self, rows: int = _SHOWN_ROWS) -> None:
        """Print the first rows as a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table(*self.columns)
        more = 0
        for number, row in enumerate(self):
            if number < rows:
                table.add_row(*("NULL" if value is None else str(value) for value in row))
            else:
                more += 1
        console = Console()
        console.print(table)
        if more:
            console.print(f"... {more} more rows")

    def __repr__(self) -> str:
        return f"<Result {self.statement} {self.kind}: {', '.join(self.columns)}>"


def _values(name: str, column: pa.Array) -> list[Any]:
    try:
        return cast("list[Any]", column.to_pylist(maps_as_pydicts="lossy"))
    except TypeError:  # structs as keys, which a dict cannot have: pairs
        return cast("list[Any]", column.to_pylist())
    except OverflowError:
        raise DataError(
            f"column {name} holds a date or time that Python cannot hold, which knows the years 1 to 9999: "
            f"CAST({name} AS STRING) in the SELECT, or take arrow()"
        ) from None


class Facts:
    """A few rows of texts and whole numbers, which a statement says of itself; Arrow is loaded when they are read.

    Args:
        names: of the columns.
        rows: of one value for each.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
        self.names = list(names)
        self._rows = rows

    @property
    def schema(self) -> pa.Schema:
        """The columns' names and Arrow types."""
        return self._table().schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The rows, as an engine's stream gives them."""
        yield from self._table().to_batches()

    def _table(self) -> pa.Table:
        """Built with Arrow's own builders.

        ``pa.array`` would import pandas wherever it is installed, which costs a fresh process a fifth of a second.
        """
        import pyarrow as pa

        arrays = []
        for i in range(len(self.names)):
            column = [row[i] for row in self._rows]
            numbers = [value for value in column if isinstance(value, int)]
            if column and len(numbers) == len(column):
                arrays.append(pa.Array.from_buffers(pa.int64(), len(column), [None, pa.py_buffer(array("q", numbers))]))
                continue
            builder = pa.lib.StringBuilder()
            builder.append_values([None if value is None else str(value) for value in column])
            arrays.append(builder.finish())
        return pa.Table.from_arrays(arrays, names=self.names)
