"""Make three stores, each with its own DuckDB file of events, for the federation's walk-through.

    python make_stores.py league
    python make_stores.py league --online-retail "Online Retail.xlsx"

Without a file the events are the demo's; the third store has those of another seed. With the UCI Online Retail file
three of its countries are the stores. Each store's file goes to league/NAME/NAME.duckdb, beside the query that it
publishes.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hanse import demo
from hanse.errors import HanseError

HERE = Path(__file__).resolve().parent
EVENTS = "hbi_web_events_v1"
COUNTRIES = ("united_kingdom", "germany", "france")


def demo_stores(events: int) -> Iterator[tuple[str, pa.Table]]:
    """Three stores' names and events: the demo's two, and one more that nobody else knows."""
    first = pa.Table.from_batches(list(demo.generate(events, 7)))
    second = pa.Table.from_batches(list(demo.generate(events, 8)))
    yield "comfort_wear", _of(first, "comfort_wear_store_view")
    yield "sport_style", _of(first, "sporty_style_store_view")
    yield "garden_shop", _of(second, "comfort_wear_store_view")


def country_stores(source: Path) -> Iterator[tuple[str, pa.Table]]:
    """Three countries of the Online Retail file, encoded by the example next door."""
    spec = importlib.util.spec_from_file_location("encode", HERE.parent / "online_retail" / "encode.py")
    assert spec is not None
    assert spec.loader is not None
    encoder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(encoder)
    events = encoder.encode(source)
    for name in COUNTRIES:
        yield name, _of(events, f"{name}_store_view")


def _of(events: pa.Table, view: str) -> pa.Table:
    store = pc.struct_field(events["web"], ["webPageDetails", "storeCode"])
    return events.filter(pc.equal(store, view))


def write(league: Path, name: str, events: pa.Table) -> Path:
    """A store's database and its query; what was there is replaced."""
    folder = league / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("events", events)
        connection.execute(f"CREATE OR REPLACE TABLE {EVENTS} AS SELECT * FROM events")
    shutil.copy(HERE / "customer_features.sql", folder)
    return path


def main() -> None:
    """Read the arguments, make the stores."""
    command = argparse.ArgumentParser(description="Make three stores for the federation's walk-through.")
    command.add_argument("league", type=Path, help="the folder that hanse federation init made")
    command.add_argument("--online-retail", type=Path, metavar="FILE", help="the UCI file: .xlsx, .csv or .parquet")
    command.add_argument("--events", type=int, default=50_000, help="of the demo, for each seed (default 50000)")
    chosen = command.parse_args()
    try:
        stores = country_stores(chosen.online_retail) if chosen.online_retail else demo_stores(chosen.events)
        for name, events in stores:
            print(f"{events.num_rows:,} events in {write(chosen.league, name, events)}")
    except (HanseError, OSError, duckdb.Error) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
