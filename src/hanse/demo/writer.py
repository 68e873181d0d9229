"""The demo's events and ground truth as Parquet files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hanse.demo.generator import generate, truth
from hanse.errors import WorkspaceError

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.types import Progress

__all__ = ["EVENTS_FILE", "PLANTED_FILE", "Written", "write"]

EVENTS_FILE: Final = "events.parquet"
PLANTED_FILE: Final = "planted_anomalies.parquet"


@dataclass(frozen=True)
class Written:
    """What `write` left behind.

    Args:
        events: the events' file.
        planted: the ground truth's file.
        event_count: rows in ``events``.
        planted_count: rows in ``planted``.
    """

    events: Path
    planted: Path
    event_count: int
    planted_count: int


def write(directory: str | Path, events: int, seed: int, progress: Progress | None = None) -> Written:
    """Make events and ground truth and write both into ``directory``, which is created where it is missing.

    Args:
        directory: where ``events.parquet`` and ``planted_anomalies.parquet`` go; older ones are replaced.
        events: how many events, as in `generate`.
        seed: the seed, as in `generate`.
        progress: called after each batch with ``rows`` so far and ``total``.

    Returns:
        The two paths and how many rows each file has.

    Raises:
        UsageError: ``events`` or ``seed`` is out of range.
        WorkspaceError: the directory cannot be written; the files that stood there before still do.
    """
    batches = generate(events, seed)
    planted = truth(events, seed)
    folder = Path(directory)
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _whole(folder, (EVENTS_FILE, PLANTED_FILE)) as (events_part, planted_part):
            _write(events_part, batches, _reporter(progress, events))
            _write(planted_part, iter(planted.to_batches()), None)
    return Written(folder / EVENTS_FILE, folder / PLANTED_FILE, events, planted.num_rows)


def _reporter(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    return lambda rows: progress("generate", {"rows": float(rows), "total": float(total)})


def _write(path: Path, batches: Iterator[pa.RecordBatch], report: Callable[[int], None] | None) -> None:
    """Write one batch while the next is being made: both spend their time outside the interpreter."""
    import pyarrow.parquet as pq

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hanse-demo") as maker:
        batch = next(batches)
        rows = 0
        with pq.ParquetWriter(path, batch.schema, compression="snappy", store_schema=False) as file:
            while batch is not None:
                following = maker.submit(next, batches, None)
                file.write_batch(batch)
                rows += batch.num_rows
                if report is not None:
                    report(rows)
                batch = following.result()


@contextmanager
def _whole(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[Path, ...]]:
    """Temporary paths beside ``names``: renamed when all went well, removed when anything did not."""
    parts = tuple(folder / f".{name}.{os.getpid()}.partial" for name in names)
    try:
        yield parts
        for part, name in zip(parts, names, strict=True):
            part.replace(folder / name)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # Arrow wraps it in more words
        raise WorkspaceError(
            f"cannot write the demo's data into {folder}: {reason}: choose a writable folder with space left"
        ) from error
