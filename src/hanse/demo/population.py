"""Who FitFashionMart's customers are: which store, which kind, how busy, since when, how generous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hanse.demo.stores import END_DATE, KINDS, ORDINARY, START_DATE, STORES

__all__ = [
    "BOT",
    "EVENTS_PER_CUSTOMER",
    "FREQUENT",
    "HIGH_VALUE",
    "REFUND",
    "YEAR_S",
    "Block",
    "Population",
    "customer_ids",
    "populate",
]

EVENTS_PER_CUSTOMER = 20
"""Events per customer, on average."""

FREQUENT, HIGH_VALUE, BOT, REFUND = range(1, len(KINDS) + 1)

_DAY_S = 86_400.0
YEAR_S = (END_DATE - START_DATE).days * _DAY_S
_LAST_START_S = YEAR_S - 0.5 * _DAY_S  # so that the last visit is over before the year is

_ORDERS = {FREQUENT: (40, 70), HIGH_VALUE: (1, 3), BOT: (30, 60), REFUND: (1, 1)}
"""Fewest and most orders of a planted customer of each kind."""

_EVENTS_PER_ORDER = {FREQUENT: 2, HIGH_VALUE: 2, BOT: 1, REFUND: 3}

_SEED_PLAN = 0


@dataclass(frozen=True)
class Block:
    """A part of the events that is made on its own, from its own random stream.

    Args:
        index: its number, from 0.
        events: how many events it has.
        first_event: how many events stand before it.
        first_customer: how many customers stand before it.
    """

    index: int
    events: int
    first_event: int
    first_customer: int

    @property
    def customers(self) -> int:
        """How many customers it has."""
        return self.events // EVENTS_PER_CUSTOMER


@dataclass(frozen=True)
class Population:
    """The customers of one block, one row each.

    Args:
        number: (n,) the customer's number, unique over all blocks.
        store: (n,) index into `STORES`.
        kind: (n,) `ORDINARY`, or one more than the index into `KINDS`.
        events: (n,) how many events the customer has.
        first_s: (n,) when the customer first appears, in seconds since the start of the year.
        span_s: (n,) how long the customer stays, in seconds.
        level: (n,) logarithm of how much dearer than typical the customer buys.
        authenticated: (n,) whether the customer logs in.
    """

    number: npt.NDArray[np.int64]
    store: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    first_s: npt.NDArray[np.float64]
    span_s: npt.NDArray[np.float64]
    level: npt.NDArray[np.float64]
    authenticated: npt.NDArray[np.bool_]


def populate(block: Block, seed: int) -> Population:
    """Draw the customers of ``block``; the same block and seed always give the same customers."""
    random = np.random.default_rng([seed, block.index, _SEED_PLAN])
    store, kind = _stores_and_kinds(block.customers)
    shuffled = random.permutation(block.customers)
    store, kind = store[shuffled], kind[shuffled]
    first_s, span_s = _lifetimes(random, kind)
    return Population(
        number=block.first_customer + np.arange(block.customers, dtype=np.int64),
        store=store,
        kind=kind,
        events=_event_counts(random, kind, block.events),
        first_s=first_s,
        span_s=span_s,
        level=random.normal(0.0, 0.45, block.customers),
        authenticated=random.random(block.customers) < 0.7,
    )


def customer_ids(number: npt.NDArray[np.int64], store: npt.NDArray[np.int64]) -> pa.Array:
    """What the events call each customer: the store's two letters and eight digits or more."""
    codes = [s.code for s in STORES]
    pairs = zip(number.tolist(), store.tolist(), strict=True)
    return pa.array([f"{codes[s]}{n:08d}" for n, s in pairs], pa.string())


def _stores_and_kinds(customers: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every store's part of the customers, with at least one planted customer of each kind in each store."""
    ends = np.rint(np.cumsum([s.share for s in STORES]) * customers).astype(np.int64)
    store = np.zeros(customers, dtype=np.int64)
    kind = np.full(customers, ORDINARY, dtype=np.int64)
    begin = 0
    for index, (one, end) in enumerate(zip(STORES, ends.tolist(), strict=True)):
        store[begin:end] = index
        at = begin
        for number, name in enumerate(KINDS, start=1):
            planted = max(1, round(one.planted[name] * (end - begin)))
            kind[at : at + planted] = number
            at += planted
        begin = end
    return store, kind


def _event_counts(random: np.random.Generator, kind: npt.NDArray[np.int64], events: int) -> npt.NDArray[np.int64]:
    """How many events each customer has; they add up to ``events`` exactly.

    An ordinary customer's rate is gamma distributed and the counts given the rates are Poisson, as in
    Ehrenberg's model of repeat buying; given their total, Poisson counts are multinomial.
    """
    counts = np.ones(len(kind), dtype=np.int64)
    for number, (fewest, most) in _ORDERS.items():
        planted = np.flatnonzero(kind == number)
        counts[planted] = _EVENTS_PER_ORDER[number] * random.integers(fewest, most + 1, len(planted))
    ordinary = np.flatnonzero(kind == ORDINARY)
    rate = random.gamma(2.0, 1.0, len(ordinary))
    counts[ordinary] += random.multinomial(events - int(counts.sum()), rate / rate.sum())
    return counts


def _lifetimes(
    random: np.random.Generator, kind: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """When each customer first appears and how long each stays, in seconds."""
    rows = len(kind)
    first = random.random(rows) * _LAST_START_S
    span = random.exponential(150 * _DAY_S, rows)
    draws: dict[int, Callable[[int], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]] = {
        FREQUENT: lambda n: (random.uniform(0, 10, n), random.uniform(345, 352, n)),
        HIGH_VALUE: lambda n: (random.uniform(355, 360, n), random.uniform(1, 4, n)),
        BOT: lambda n: (random.uniform(30, 350, n), np.zeros(n)),
        REFUND: lambda n: (random.uniform(30, 350, n), np.zeros(n)),
    }
    for number, draw in draws.items():
        planted = np.flatnonzero(kind == number)
        first_days, span_days = draw(len(planted))
        first[planted], span[planted] = first_days * _DAY_S, span_days * _DAY_S
    return first, np.minimum(span, _LAST_START_S - first)
