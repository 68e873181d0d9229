"""A folder that Spark MLlib wrote: JSON in ``metadata``, rows in ``data``, each in parts with a checksum beside it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from hanse.artifact import LIMIT_BYTES
from hanse.decoding import converted, decoded
from hanse.errors import ArtifactError
from hanse.statistics import FloatArray
from hanse.workspace import read_file

__all__ = ["Folder", "Vector"]

T = TypeVar("T")

_SAVE_AGAIN: Final = "save the model again, or copy the whole folder again"
_MAGIC: Final = b"crc\0"


class Vector(msgspec.Struct, frozen=True):
    """A vector as Spark stores it.

    Args:
        type: 0 is sparse, 1 dense.
        size: of a sparse one.
        indices: of a sparse one, where its values stand.
        values: all of them, or those that are not 0.
    """

    type: int
    size: int | None
    indices: list[int] | None
    values: list[float]

    def dense(self) -> FloatArray:
        """(d,) the numbers.

        Raises:
            ValueError: it is no vector, or holds a number that is not finite.
        """
        numbers = np.array(self.values, dtype=np.float64)
        if self.type == 0:
            where = np.array(self.indices or [], dtype=np.int64)
            size = self.size or 0
            if len(where) != len(numbers) or not 0 <= size <= LIMIT_BYTES or np.any((where < 0) | (where >= size)):
                raise ValueError(f"a sparse vector of size {self.size} with indices {self.indices!r:.60}")
            full = np.zeros(size)
            full[where] = numbers
            numbers = full
        elif self.type != 1:
            raise ValueError(f"a vector of type {self.type}: need 0 (sparse) or 1 (dense)")
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"a vector with a number that is not finite: {numbers.tolist()!r:.60}")
        return numbers


@dataclass(frozen=True)
class Folder:
    """What MLlib's ``save`` makes: a model, a stage of a pipeline, or what a model keeps inside.

    Args:
        path: of the folder.
    """

    path: Path

    def inner(self, *names: str) -> Folder:
        """A folder within it."""
        return Folder(self.path.joinpath(*names))

    def metadata(self, kind: type[T]) -> T:
        """The JSON that says what the folder holds.

        Args:
            kind: a msgspec struct; fields that it does not have are passed over, as MLlib does.

        Raises:
            ArtifactError: there is none, or it is damaged.
            WorkspaceError: it cannot be read.
        """
        parts = self._parts("metadata", "part-*")
        if not parts:
            raise ArtifactError(
                f"{self.path} is a folder in which Spark MLlib saved no model (it has no metadata/part-00000): name "
                "the folder that was given to save(), or a file that EXPORT MODEL wrote"
            )
        for part in parts:
            data = _read(part).strip()
            if data:
                return self._decoded(part, data, kind)
        raise ArtifactError(f"{self.path / 'metadata'} is empty: {_SAVE_AGAIN}")

    def _decoded(self, part: Path, data: bytes, kind: type[T]) -> T:
        try:
            return decoded(data.splitlines()[0], kind)
        except msgspec.ValidationError as error:
            raise ArtifactError(f"{part}: {error}: {_SAVE_AGAIN}") from None
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{part} is not JSON ({error}): {_SAVE_AGAIN}") from None

    def rows(self, kind: type[T]) -> list[T]:
        """The rows of ``data``.

        Args:
            kind: a msgspec struct whose fields are the columns that are read.

        Raises:
            ArtifactError: there are none, a column is missing or of another type, or a file is damaged.
            WorkspaceError: a file cannot be read.
        """
        parts = self._parts("data", "*.parquet")
        if not parts:
            raise ArtifactError(f"{self.path / 'data'} holds no parquet file: {_SAVE_AGAIN}")
        found: list[T] = []
        for part in parts:
            try:
                found += converted(_table(part, _read(part)), list[kind])  # type: ignore[valid-type]
            except msgspec.ValidationError as error:
                raise ArtifactError(f"{part}: {error}: {_SAVE_AGAIN}") from None
        if not found:
            raise ArtifactError(f"{self.path / 'data'} has no rows: {_SAVE_AGAIN}")
        return found

    def row(self, kind: type[T]) -> T:
        """The only row of ``data``.

        Raises:
            ArtifactError: as :meth:`rows`, or there are several.
        """
        found = self.rows(kind)
        if len(found) != 1:
            raise ArtifactError(f"{self.path / 'data'} has {len(found)} rows, where one is wanted: {_SAVE_AGAIN}")
        return found[0]

    def damaged(self, what: object) -> ArtifactError:
        """An error about what the folder holds."""
        return ArtifactError(f"{self.path}: {what}: {_SAVE_AGAIN}")

    def _parts(self, folder: str, pattern: str) -> Sequence[Path]:
        return sorted(
            path for path in (self.path / folder).glob(pattern) if path.is_file() and path.name[0] not in "._"
        )


def _read(part: Path) -> bytes:
    data = read_file(part, limit_bytes=LIMIT_BYTES)
    checksum = part.with_name(f".{part.name}.crc")
    if checksum.is_file() and not _agrees(data, read_file(checksum, limit_bytes=LIMIT_BYTES)):
        raise ArtifactError(f"{part} is damaged (its checksum in {checksum.name} does not agree): {_SAVE_AGAIN}")
    return data


def _agrees(data: bytes, checksum: bytes) -> bool:
    """Whether a file is as Hadoop wrote it: a CRC-32 for each chunk, after a head that tells their size in bytes."""
    if len(checksum) < 8 or not checksum.startswith(_MAGIC):
        return False
    (chunk_bytes,) = struct.unpack(">i", checksum[4:8])
    if chunk_bytes < 1:
        return False
    chunks = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    return checksum[8:] == b"".join(struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)


def _table(part: Path, data: bytes) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(pa.BufferReader(data)).read().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"{part} is not a parquet file ({str(error).splitlines()[0]}): {_SAVE_AGAIN}") from None
    return rows
