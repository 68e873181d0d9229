"""FitFashionMart's events and their ground truth, block by block, from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hanse.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.demo.population import Block

__all__ = ["MINIMUM_EVENTS", "generate", "truth"]

MINIMUM_EVENTS: Final = 1_000
"""The fewest events that make sense: 50 customers.

Each store gets at least one planted customer of each kind, and these eight alone take up to 420 events; with
fewer than 1,000 they would no longer be exceptions among the others.
"""

_BLOCK_EVENTS: Final = 200_000


def generate(events: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Make the events, a batch of about 200,000 at a time, in time order within each batch.

    Args:
        events: how many events to make, exactly; `MINIMUM_EVENTS` or more.
        seed: 0 or more. The same number of events and seed give the same rows, and nothing else has a say.

    Returns:
        An iterator that makes each batch when it gets there; memory does not grow with ``events``.

    Raises:
        UsageError: ``events`` or ``seed`` is out of range or not a whole number.
    """
    _check(events, seed)
    return _generate(events, seed)


def truth(events: int, seed: int) -> pa.Table:
    """The planted customers of `generate` with the same arguments.

    Args:
        events: as in `generate`.
        seed: as in `generate`.

    Returns:
        A table ``customer_id, store_id, kind`` with one row per planted customer.

    Raises:
        UsageError: ``events`` or ``seed`` is out of range or not a whole number.
    """
    _check(events, seed)
    import pyarrow as pa

    from hanse.demo.encoding import encode_truth, truth_schema
    from hanse.demo.population import populate

    batches = [encode_truth(populate(block, seed)) for block in _blocks(events)]
    return pa.Table.from_batches(batches, schema=truth_schema()).combine_chunks()


def _generate(events: int, seed: int) -> Iterator[pa.RecordBatch]:
    from hanse.demo.behaviour import happen
    from hanse.demo.encoding import encode_events
    from hanse.demo.population import populate

    for block in _blocks(events):
        people = populate(block, seed)
        yield encode_events(block, people, happen(people, seed, block.index))


def _blocks(events: int) -> Iterator[Block]:
    """Cut ``events`` into blocks of nearly the same size, so that no block is too small to plant in."""
    from hanse.demo.population import Block

    count = max(1, round(events / _BLOCK_EVENTS))
    first_event = first_customer = 0
    for index in range(count):
        block = Block(index, events // count + (index < events % count), first_event, first_customer)
        yield block
        first_event += block.events
        first_customer += block.customers


def _check(events: int, seed: int) -> None:
    for name, value, least in (("events", events, MINIMUM_EVENTS), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"{name} = {value!r}: need a whole number of {least:,} or more")
        if value < least:
            why = " (each store needs its planted anomalies and enough customers around them)" if least else ""
            raise UsageError(f"{name} = {value:,}: need {least:,} or more{why}")
