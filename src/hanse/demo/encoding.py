"""From the NumPy columns of one block to its Arrow record batch, and to its rows of the ground truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hanse.demo import xdm
from hanse.demo.behaviour import (
    CHECKOUT,
    EVENT_TYPES,
    LIST_ADD,
    PRODUCT_VIEW,
    PRODUCTS,
    PURCHASE,
    REVERSAL,
    Happenings,
)
from hanse.demo.population import Block, Population, customer_ids
from hanse.demo.stores import KINDS, ORDINARY, START_DATE, STORES

__all__ = ["encode_events", "encode_truth", "truth_schema"]

_CURRENCY = "USD"
_SECTIONS = ("home", "new", "women", "men", "kids", "sale", "search", "guides", "account", "help")


def truth_schema() -> pa.Schema:
    """The columns of the ground truth."""
    return pa.schema([("customer_id", pa.string()), ("store_id", pa.string()), ("kind", pa.string())])


def encode_truth(people: Population) -> pa.RecordBatch:
    """One row for each planted customer."""
    planted = np.flatnonzero(people.kind != ORDINARY)
    store, kind = people.store[planted], people.kind[planted]
    return pa.record_batch(
        [
            customer_ids(people.number[planted], store),
            _pick([s.store_id for s in STORES], store),
            _pick(KINDS, kind - 1),
        ],
        schema=truth_schema(),
    )


def encode_events(block: Block, people: Population, events: Happenings) -> pa.RecordBatch:
    """The events of one block, nested as XDM has them."""
    store = people.store[events.customer]
    ids = customer_ids(people.number, people.store).take(pa.array(events.customer))
    epoch = np.datetime64(START_DATE, "ms") + (events.second * 1000).astype("timedelta64[ms]")
    return pa.record_batch(
        [
            xdm.identity_map(ids, people.authenticated[events.customer]),
            pa.array(epoch.astype("datetime64[us]")),
            _pick(EVENT_TYPES, events.stage),
            _commerce(block, events, store),
            _items(events, store),
            _web(events, store),
        ],
        schema=xdm.schema(),
    )


def _commerce(block: Block, events: Happenings, store: npt.NDArray[np.int64]) -> pa.Array:
    kind = xdm.schema().field("commerce").type
    rows = len(store)
    purchase, ordered = events.stage == PURCHASE, events.stage >= PURCHASE
    has = np.flatnonzero(ordered)
    number = pa.array(block.first_event + events.order[has]).cast(pa.string())
    purchase_id = pc.binary_join_element_wise("P", pc.utf8_lpad(number, 10, "0"), "")
    place = np.zeros(rows, dtype=np.int64)
    place[has] = np.arange(len(has))
    purchase_id = purchase_id.take(pa.array(place, mask=~ordered))
    total = np.bincount(np.repeat(np.arange(rows), events.items), weights=events.cents, minlength=rows) / 100
    currency = _pick([_CURRENCY], np.zeros(rows, dtype=np.int64), ~ordered)
    order = xdm.struct(kind.field("order").type, [purchase_id, pa.array(total, mask=~ordered), currency], ~ordered)
    value = pa.array(np.ones(rows), mask=~purchase)
    purchased = pa.array(purchase)
    paid = pc.if_else(purchased, purchase_id, pa.scalar(None, pa.string()))
    purchases = xdm.struct(kind.field("purchases").type, [paid, value], ~purchase)
    scope = xdm.struct(
        kind.field("commerceScope").type,
        [
            _pick(["production"], np.zeros(rows, dtype=np.int64)),
            _pick(["fitfashionmart"], np.zeros(rows, dtype=np.int64)),
            _pick([s.website for s in STORES], store),
            _pick([s.store_id for s in STORES], store),
        ],
    )
    return xdm.struct(kind, [order, purchases, scope])


def _items(events: Happenings, store: npt.NDArray[np.int64]) -> pa.Array:
    owner = np.repeat(np.arange(len(store)), events.items)
    stage = events.stage[owner]
    row = store[owner] * PRODUCTS + events.product
    skus = [f"{s.code}-{n:04d}" for s in STORES for n in range(1, PRODUCTS + 1)]
    names = [name for s in STORES for name in s.products()]
    priced = stage >= PURCHASE
    return xdm.item_lists(
        events.items,
        [
            _pick(skus, row),
            _pick(names, row),
            pa.array(events.quantity, mask=stage == PRODUCT_VIEW),
            pa.array(events.cents / 100, mask=~priced),
            _pick([_CURRENCY], np.zeros(len(owner), dtype=np.int64), ~priced),
        ],
    )


def _web(events: Happenings, store: npt.NDArray[np.int64]) -> pa.Array:
    kind = xdm.schema().field("web").type
    detail = kind.field("webPageDetails").type
    pages = _pages()
    wide = len(pages) // len(STORES)
    page = np.select(
        [events.stage == stage for stage in (LIST_ADD, CHECKOUT, PURCHASE, REVERSAL)],
        [np.int64(n) for n in range(10, 14)],
        default=events.page,
    )
    views = np.flatnonzero(events.stage == PRODUCT_VIEW)
    first = np.cumsum(events.items) - events.items
    page[views] = 14 + events.product[first[views]]
    row = store * wide + page
    seen = events.stage <= PRODUCT_VIEW
    pageviews = xdm.struct(detail.field("pageViews").type, [pa.array(np.where(seen, 1.0, 0.0), mask=~seen)], ~seen)
    details = xdm.struct(
        detail,
        [
            _pick([p[0] for p in pages], row),
            _pick([p[1] for p in pages], row),
            _pick([p[2] for p in pages], row),
            pageviews,
            _pick([s.store_id for s in STORES], store),
        ],
    )
    return xdm.struct(kind, [details])


def _pages() -> list[tuple[str, str, str]]:
    """Name, section and URL of every page: per store ten to browse, four about an order, one per product."""
    pages = []
    for store in STORES:
        root = f"https://{store.website.replace('_', '-')}.example"
        pages += [(section, section, f"{root}/{section}") for section in _SECTIONS]
        pages += [(n, "cart", f"{root}/{n}") for n in ("basket", "checkout", "confirmation", "returns")]
        pages += [
            (name, "product", f"{root}/product/{store.code.lower()}-{n:04d}")
            for n, name in enumerate(store.products(), start=1)
        ]
    return pages


def _pick(
    values: list[str] | tuple[str, ...],
    index: npt.NDArray[np.int64],
    null: npt.NDArray[np.bool_] | None = None,
) -> pa.Array:
    """``values[index]`` as strings, NULL where ``null``."""
    return pa.array(values, pa.string()).take(pa.array(index, mask=null))
