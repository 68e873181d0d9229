"""Arrow tables that Spark gave, with the types that DuckDB would give: times without a zone, for all are UTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["plain_reader", "spans"]


def plain_reader(table: pa.Table) -> pa.RecordBatchReader:
    """The table's batches."""
    import pyarrow as pa

    schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in table.schema])
    if schema.types != table.schema.types:
        table = table.cast(schema)
    batches = [batch for batch in table.to_batches(max_chunksize=65_536) if batch.num_rows]
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in batches)
    )


def spans(sizes: Iterable[tuple[int, int]], rows: int) -> Iterator[tuple[int, int]]:
    """Partitions, by number and rows, in runs of about so many rows each: the first and the last number of each.

    >>> list(spans([(0, 4), (1, 5), (2, 3), (7, 20), (8, 1)], 8))
    [(0, 1), (2, 7), (8, 8)]
    """
    first, last, held = -1, -1, 0
    for number, size in sizes:
        first = number if first < 0 else first
        last = number
        held += size
        if held >= rows:
            yield first, last
            first, held = -1, 0
    if first >= 0:
        yield first, last


def _plain(type_: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_timestamp(type_):
        return pa.timestamp(type_.unit)
    if pa.types.is_list(type_):
        return pa.list_(_plain(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(_plain(type_.key_type), _plain(type_.item_type))
    return type_
