"""What the customers of one block do: visits, from a page view on to a purchase, as NumPy columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanse.demo.population import BOT, FREQUENT, HIGH_VALUE, REFUND, YEAR_S, Population
from hanse.demo.stores import ORDINARY, STORES

__all__ = [
    "CHECKOUT",
    "EVENT_TYPES",
    "LIST_ADD",
    "PAGE_VIEW",
    "PRODUCTS",
    "PRODUCT_VIEW",
    "PURCHASE",
    "REVERSAL",
    "Happenings",
    "catalogue_cents",
    "happen",
]

PAGE_VIEW, PRODUCT_VIEW, LIST_ADD, CHECKOUT, PURCHASE, REVERSAL = range(6)

EVENT_TYPES = (
    "web.webpagedetails.pageViews",
    "commerce.productViews",
    "commerce.productListAdds",
    "commerce.checkouts",
    "commerce.purchases",
    "commerce.backofficeCreditMemoIssued",
)
"""XDM's name of each stage."""

PRODUCTS = 100
"""How many products a store sells."""

_FUNNEL = np.array(
    [
        [PAGE_VIEW, PRODUCT_VIEW, LIST_ADD, CHECKOUT, PURCHASE],  # ordinary
        [CHECKOUT, PURCHASE, CHECKOUT, PURCHASE, CHECKOUT],  # frequent: a visit is one order
        [CHECKOUT, PURCHASE, CHECKOUT, PURCHASE, CHECKOUT],  # high value: likewise
        [PURCHASE, PURCHASE, PURCHASE, PURCHASE, PURCHASE],  # bot
        [CHECKOUT, PURCHASE, REVERSAL, CHECKOUT, PURCHASE],  # refund: three events, never more
    ]
)
"""The stage of the n-th event of a visit, by kind; after the last the visit begins anew."""

_PAUSE_S = np.array([90.0, 90.0, 120.0, 90.0, 600.0])
"""The least time between two events of a visit, by kind."""

_NEW_VISIT = 0.15
"""How likely an ordinary customer's next event is to open another visit."""

_CHEAPEST, _DEAREST = 0.15, 8.0
"""The catalogue's ends, in units of the typical price."""

_HIGH_TIMES = (25.0, 35.0)
_REFUND_TIMES = (60.0, 100.0)
"""How many typical products an order of a planted customer is worth."""

_SEED_EVENTS = 1


@dataclass(frozen=True)
class Happenings:
    """The events of one block in time order, and the items of their product lists.

    Args:
        customer: (events,) row of the customer in the block's population.
        second: (events,) seconds since the start of the year.
        stage: (events,) index into `EVENT_TYPES`.
        items: (events,) how many items the product list has; 0 where there is none.
        order: (events,) the row whose order this event is about: its own, or for a reversal the purchase's.
        page: (events,) for page views, a number from 0 to 9 that picks one.
        product: (items,) index into the store's catalogue.
        quantity: (items,) negative in a reversal.
        cents: (items,) quantity times unit price; meaningful for purchases and reversals only.
    """

    customer: npt.NDArray[np.int64]
    second: npt.NDArray[np.float64]
    stage: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    page: npt.NDArray[np.int64]
    product: npt.NDArray[np.int64]
    quantity: npt.NDArray[np.int64]
    cents: npt.NDArray[np.int64]


def happen(people: Population, seed: int, block: int) -> Happenings:
    """Draw everything that ``people`` do; the same arguments always give the same events."""
    random = np.random.default_rng([seed, block, _SEED_EVENTS])
    customer = np.repeat(np.arange(len(people.events)), people.events)
    second, stage = _visits(random, people, customer)
    by_time = np.argsort(second, kind="stable")
    customer, second, stage = customer[by_time], second[by_time], stage[by_time]
    order = _order_rows(by_time, stage)
    items = _item_counts(random, people.kind[customer], stage)
    product, quantity, cents = _baskets(random, people, customer, items)
    _reverse(np.flatnonzero(stage == REVERSAL), order, items, (product, quantity, cents))
    page = random.integers(0, 10, len(customer))
    return Happenings(customer, second, stage, items, order, page, product, quantity, cents)


def catalogue_cents() -> npt.NDArray[np.int64]:
    """Unit prices in cents, (stores, products), from cheap to dear in even ratios; all end in 9 or 5."""
    typical = np.array([s.typical_price for s in STORES])[:, np.newaxis]
    dollars = typical * _CHEAPEST * (_DEAREST / _CHEAPEST) ** np.linspace(0.0, 1.0, PRODUCTS)
    return (np.rint(dollars * 2) * 50 - 1).astype(np.int64)


def _visits(
    random: np.random.Generator, people: Population, customer: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """When each event happens and which stage it is; events stand customer after customer."""
    rows = np.arange(len(customer))
    kind = people.kind[customer]
    position = rows - np.repeat(np.cumsum(people.events) - people.events, people.events)
    pairs = (kind == FREQUENT) | (kind == HIGH_VALUE)
    opens = np.where(pairs, position % 2 == 0, (kind == ORDINARY) & (random.random(len(rows)) < _NEW_VISIT))
    opens |= position == 0
    visit = np.cumsum(opens) - 1
    opening = np.flatnonzero(opens)
    step = rows - opening[visit]
    who = customer[opening]
    when = random.random(len(opening))
    # A frequent shopper comes evenly over the year: the k-th of m visits falls in the k-th of m parts.
    parts = np.maximum(people.events // 2, 1)[who]
    when = np.where(people.kind[who] == FREQUENT, (position[opening] // 2 + when) / parts, when)
    start = people.first_s[who] + when * people.span_s[who]
    second = start[visit] + step * _PAUSE_S[kind] + random.random(len(rows)) * 60.0
    return np.minimum(second, YEAR_S - 1.0), _FUNNEL[kind, step % _FUNNEL.shape[1]]


def _order_rows(by_time: npt.NDArray[np.int64], stage: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of the order that each event is about: before sorting, a reversal follows its purchase."""
    place = np.empty_like(by_time)
    place[by_time] = np.arange(len(by_time))
    order = np.arange(len(by_time))
    reversals = np.flatnonzero(stage == REVERSAL)
    order[reversals] = place[by_time[reversals] - 1]
    return order


def _item_counts(
    random: np.random.Generator, kind: npt.NDArray[np.int64], stage: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """None on a page view, one until the checkout, and one to four in an ordinary purchase."""
    draw = random.random(len(stage))
    more = (draw < 0.35).astype(np.int64) + (draw < 0.12) + (draw < 0.04)
    basket = (stage == PURCHASE) & ((kind == ORDINARY) | (kind == FREQUENT))
    return np.where(stage == PAGE_VIEW, 0, 1) + np.where(basket, more, 0)


def _baskets(
    random: np.random.Generator,
    people: Population,
    customer: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The product, quantity and price of every item; what a customer spends is lognormal."""
    owner = np.repeat(customer, items)
    kind, store, level = people.kind[owner], people.store[owner], people.level[owner]
    worth = level + random.normal(0.0, 0.4, len(owner)) - np.log(_CHEAPEST)
    product = np.rint(worth / np.log(_DEAREST / _CHEAPEST) * (PRODUCTS - 1)).astype(np.int64)
    draw = random.random(len(owner))
    quantity = 1 + (draw < 0.2).astype(np.int64) + (draw < 0.05)
    times = random.random(len(owner))
    product = np.where(kind == BOT, (times * 5).astype(np.int64), np.clip(product, 0, PRODUCTS - 1))
    quantity[kind == BOT] = 1
    unit = catalogue_cents()[store, product]
    typical = np.array([s.typical_price * 100 for s in STORES])[store]
    for number, (low, high) in ((HIGH_VALUE, _HIGH_TIMES), (REFUND, _REFUND_TIMES)):
        big = np.flatnonzero(kind == number)
        target = typical[big] * (low + (high - low) * times[big])
        quantity[big] = np.ceil(target / unit[big]).astype(np.int64)
    return product, quantity, quantity * unit


def _reverse(
    reversals: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    columns: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> None:
    """Make the one item of each reversal the purchase's, with quantity and price negated."""
    first = np.cumsum(items) - items
    product, quantity, cents = columns
    here, there = first[reversals], first[order[reversals]]
    product[here] = product[there]
    quantity[here] = -quantity[there]
    cents[here] = -cents[there]
