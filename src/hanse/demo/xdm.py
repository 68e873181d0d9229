"""The columns of an XDM ExperienceEvent as Arrow arrays, nested as Adobe Experience Platform exports them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["identity_map", "item_lists", "schema", "struct"]

_IDENTITY = pa.struct(
    [("id", pa.string()), ("authenticatedState", pa.string()), ("primary", pa.bool_())],
)
_ITEM = pa.struct(
    [
        ("SKU", pa.string()),
        ("name", pa.string()),
        ("quantity", pa.int64()),
        ("priceTotal", pa.float64()),
        ("currencyCode", pa.string()),
    ]
)
_COMMERCE = pa.struct(
    [
        (
            "order",
            pa.struct([("purchaseID", pa.string()), ("priceTotal", pa.float64()), ("currencyCode", pa.string())]),
        ),
        ("purchases", pa.struct([("id", pa.string()), ("value", pa.float64())])),
        (
            "commerceScope",
            pa.struct(
                [
                    ("environmentID", pa.string()),
                    ("websiteCode", pa.string()),
                    ("storeCode", pa.string()),
                    ("storeViewCode", pa.string()),
                ]
            ),
        ),
    ]
)
_WEB = pa.struct(
    [
        (
            "webPageDetails",
            pa.struct(
                [
                    ("name", pa.string()),
                    ("siteSection", pa.string()),
                    ("URL", pa.string()),
                    ("pageViews", pa.struct([("value", pa.float64())])),
                    ("storeCode", pa.string()),
                ]
            ),
        )
    ]
)


def schema() -> pa.Schema:
    """The events' columns and their types.

    Times are without a zone and mean UTC, so that no session's zone can shift a customer's days.
    """
    return pa.schema(
        [
            ("identityMap", pa.map_(pa.string(), pa.list_(_IDENTITY))),
            ("timestamp", pa.timestamp("us")),
            ("eventType", pa.string()),
            ("commerce", _COMMERCE),
            ("productListItems", pa.list_(_ITEM)),
            ("web", _WEB),
        ]
    )


def struct(kind: pa.DataType, children: Sequence[pa.Array], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """A struct array of type ``kind``; rows where ``null`` is true are NULL."""
    fields = [kind.field(i) for i in range(kind.num_fields)]
    return pa.StructArray.from_arrays(list(children), fields=fields, mask=None if null is None else pa.array(null))


def identity_map(customer: pa.Array, authenticated: npt.NDArray[np.bool_]) -> pa.Array:
    """One identity for each event, under the namespace ``ECID``."""
    rows = len(customer)
    states = pa.array(["ambiguous", "authenticated"], pa.string())
    identity = struct(
        _IDENTITY,
        [customer, states.take(pa.array(authenticated.astype(np.int8))), pa.array(np.ones(rows, dtype=bool))],
    )
    each = pa.array(np.arange(rows + 1, dtype=np.int32))
    lists = pa.ListArray.from_arrays(each, identity, type=pa.list_(_IDENTITY))
    keys = pa.array(["ECID"], pa.string()).take(pa.array(np.zeros(rows, dtype=np.int8)))
    return pa.MapArray.from_arrays(each, keys, lists)


def item_lists(count: npt.NDArray[np.int64], columns: Sequence[Any]) -> pa.Array:
    """The ``productListItems`` of every event.

    Args:
        count: how many items each event has; an event without items gets NULL, not an empty list.
        columns: SKU, name, quantity, priceTotal and currencyCode of all items, event after event.
    """
    offsets = np.zeros(len(count) + 1, dtype=np.int32)
    np.cumsum(count, out=offsets[1:])
    return pa.ListArray.from_arrays(
        pa.array(offsets), struct(_ITEM, columns), type=pa.list_(_ITEM), mask=pa.array(count == 0)
    )
