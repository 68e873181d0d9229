"""Turn the public UCI Online Retail file into XDM events: one purchase event per invoice.

    python encode.py "Online Retail.xlsx" events.parquet
    python encode.py "Online Retail.xlsx" events.parquet --two-stores

Kept are the invoices that have a customer and are no cancellation (their number does not begin with C), and
of these the lines with a unit price above zero. An invoice's lines stay in the order of the file.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from hanse.demo import xdm
from hanse.errors import HanseError, UsageError

COLUMNS = pa.schema(
    [
        ("InvoiceNo", pa.string()),
        ("StockCode", pa.string()),
        ("Description", pa.string()),
        ("Quantity", pa.int64()),
        ("InvoiceDate", pa.timestamp("us")),
        ("UnitPrice", pa.float64()),
        ("CustomerID", pa.int64()),
        ("Country", pa.string()),
    ]
)


def country_store(country: str) -> str:
    """Every country is a store of its own: ``United Kingdom`` becomes ``united_kingdom_store_view``."""
    return re.sub(r"\W+", "_", country.strip().lower()) + "_store_view"


def two_stores(country: str) -> str:
    """The United Kingdom plays ComfortWearCo, all other countries together play SportStyleShop."""
    return "comfort_wear_store_view" if country == "United Kingdom" else "sporty_style_store_view"


def encode(path: str | Path, store_of_country: Callable[[str], str] = country_store) -> pa.Table:
    """The events of the file at ``path``, one per invoice, in the order in which the invoices first appear.

    Args:
        path: the file from the UCI site (.xlsx), or the same rows as .parquet or .csv.
        store_of_country: names the store view of each country.

    Raises:
        UsageError: there is no such file, it has other columns, or nothing in it is a purchase.
    """
    lines = _purchase_lines(_read(Path(path)))
    if lines.num_rows == 0:
        raise UsageError(f"{path}: no line has a customer, a price above 0 and an invoice that is no cancellation")
    number = lines["InvoiceNo"].combine_chunks().dictionary_encode()
    invoice = number.indices.to_numpy()
    by_invoice = np.argsort(invoice, kind="stable")
    lines = lines.take(pa.array(by_invoice)).combine_chunks()
    count = np.bincount(invoice)
    first = np.cumsum(count) - count
    return _events(lines, number.dictionary, count, first, store_of_country)


def _events(
    lines: pa.Table,
    number: pa.Array,
    count: np.ndarray,
    first: np.ndarray,
    store_of_country: Callable[[str], str],
) -> pa.Table:
    """One event per invoice: ``count`` rows of ``lines`` from row ``first`` on."""
    quantity, price = lines["Quantity"].to_numpy(), lines["UnitPrice"].to_numpy()
    total = quantity * price
    head = lines.take(pa.array(first)).combine_chunks()
    columns = {name: head[name].combine_chunks() for name in head.column_names}
    country = columns["Country"].dictionary_encode()
    views = [store_of_country(name) for name in country.dictionary.to_pylist()]
    view = pa.array(views, pa.string()).take(country.indices)
    items = [
        lines["StockCode"].combine_chunks(),
        lines["Description"].combine_chunks(),
        pa.array(quantity),
        pa.array(total),
        _same("GBP", lines.num_rows),
    ]
    return pa.table(
        [
            xdm.identity_map(columns["CustomerID"].cast(pa.string()), np.ones(len(count), dtype=bool)),
            columns["InvoiceDate"],
            _same("commerce.purchases", len(count)),
            _commerce(number, np.add.reduceat(total, first), view),
            xdm.item_lists(count, items),
            _web(view),
        ],
        schema=xdm.schema(),
    )


def _commerce(number: pa.Array, total: np.ndarray, view: pa.Array) -> pa.Array:
    kind = xdm.schema().field("commerce").type
    rows = len(number)
    order = xdm.struct(kind.field("order").type, [number, pa.array(total), _same("GBP", rows)])
    purchases = xdm.struct(kind.field("purchases").type, [number, pa.array(np.ones(rows))])
    website = pc.replace_substring_regex(view, "_store_view$", "")
    scope = xdm.struct(
        kind.field("commerceScope").type,
        [_same("production", rows), _same("online_retail", rows), website, view],
    )
    return xdm.struct(kind, [order, purchases, scope])


def _web(view: pa.Array) -> pa.Array:
    """Only the store: an invoice was no page."""
    kind = xdm.schema().field("web").type
    detail = kind.field("webPageDetails").type
    missing = [pa.nulls(len(view), detail.field(i).type) for i in range(detail.num_fields - 1)]
    return xdm.struct(kind, [xdm.struct(detail, [*missing, view])])


def _same(value: str, rows: int) -> pa.Array:
    return pa.array([value], pa.string()).take(pa.array(np.zeros(rows, dtype=np.int8)))


def _purchase_lines(lines: pa.Table) -> pa.Table:
    keep = pc.and_(pc.is_valid(lines["CustomerID"]), pc.invert(pc.starts_with(lines["InvoiceNo"], "C")))
    return lines.filter(pc.and_(keep, pc.greater(lines["UnitPrice"], 0.0)))


def _read(path: Path) -> pa.Table:
    readers = {".parquet": pq.read_table, ".csv": _read_csv, ".xlsx": _read_xlsx}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: cannot read {path.suffix or 'a file without a suffix'}: need {', '.join(readers)}")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file: README.md says where to get it")
    try:
        table = readers[path.suffix.lower()](path)
        missing = [name for name in COLUMNS.names if name not in table.column_names]
        if missing:
            raise UsageError(f"{path}: has no column {', '.join(missing)}: need {', '.join(COLUMNS.names)}")
        return table.select(COLUMNS.names).cast(COLUMNS)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: is not the Online Retail file: {error}") from error


def _read_csv(path: Path) -> pa.Table:
    kinds = {field.name: field.type for field in COLUMNS} | {"CustomerID": pa.float64()}  # some exports say 17850.0
    how = pa.csv.ConvertOptions(
        column_types=kinds,
        timestamp_parsers=[pa.csv.ISO8601, "%m/%d/%Y %H:%M"],
        null_values=[""],
        strings_can_be_null=True,
    )
    return pa.csv.read_csv(path, convert_options=how)


def _read_xlsx(path: Path) -> pa.Table:
    try:
        import openpyxl  # noqa: F401  pandas needs it for .xlsx, and says so less clearly
        import pandas as pd
    except ImportError as error:
        raise UsageError(f"{path}: reading .xlsx needs two packages: pip install pandas openpyxl") from error
    frame = pd.read_excel(path, dtype=dict.fromkeys(("InvoiceNo", "StockCode", "Description", "Country"), str))
    return pa.Table.from_pandas(frame, preserve_index=False)


def main() -> None:
    """Read the arguments, encode, write."""
    command = argparse.ArgumentParser(description="Turn the UCI Online Retail file into XDM events.")
    command.add_argument("source", type=Path, help="the UCI file: .xlsx, .csv or .parquet")
    command.add_argument("target", type=Path, help="the events, as .parquet")
    command.add_argument(
        "--two-stores",
        action="store_true",
        help="United Kingdom as ComfortWearCo, the rest as SportStyleShop",
    )
    chosen = command.parse_args()
    try:
        events = encode(chosen.source, two_stores if chosen.two_stores else country_store)
        pq.write_table(events, chosen.target, store_schema=False)
    except (HanseError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{events.num_rows:,} events in {chosen.target}")


if __name__ == "__main__":
    main()
