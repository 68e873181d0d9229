"""The demo's events: deterministic, shaped as XDM, complete, and with anomalies that really are extreme."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hanse import demo
from hanse.errors import HanseError, UsageError, WorkspaceError

EVENTS = 60_000
SEED = 3
SOURCES = Path(__file__).resolve().parents[2] / "src"

FEATURES = """
    SELECT e.*, coalesce(p.kind, 'ordinary') AS kind
    FROM (
        SELECT identityMap['ECID'][1].id AS customer_id, web.webPageDetails.storeCode AS store_id,
               avg(productListItems[1].priceTotal) AS first_item, avg(commerce."order".priceTotal) AS worth,
               count(*)::DOUBLE AS orders, date_diff('second', min(timestamp), max(timestamp)) AS seconds,
               date_diff('day', max(timestamp), TIMESTAMP '2026-01-01')::DOUBLE AS recency
        FROM events
        WHERE len(list_filter(productListItems, lambda item: item.priceTotal > 0)) > 0
          AND commerce."order".purchaseID IS NOT NULL
        GROUP BY ALL
    ) e LEFT JOIN planted p USING (customer_id, store_id)
"""


def table(events: int, seed: int) -> pa.Table:
    return pa.Table.from_batches(demo.generate(events, seed))


def connect(events: pa.Table, planted: pa.Table) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.register("events", events)
    connection.register("planted", planted)
    return connection


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect(table(EVENTS, SEED), demo.truth(EVENTS, SEED))
    connection.execute(f"CREATE TABLE features AS {FEATURES}")
    yield connection
    connection.close()


def features(database: duckdb.DuckDBPyConnection, store: str, kind: str) -> Mapping[str, np.ndarray]:
    result = database.execute("SELECT * FROM features WHERE store_id = $1 AND kind = $2", [store, kind])
    columns = {name: np.asarray(values) for name, values in result.fetchnumpy().items()}
    assert len(columns["orders"]) > 0
    return columns


STORES = pytest.mark.parametrize("store", [store.store_id for store in demo.STORES])


class TestDeterminism:
    @pytest.mark.parametrize("events", [1_000, 1_001, EVENTS])
    def test_the_same_arguments_give_the_same_rows(self, events: int) -> None:
        assert table(events, SEED).equals(table(events, SEED))
        assert demo.truth(events, SEED).equals(demo.truth(events, SEED))

    def test_another_seed_gives_other_rows(self) -> None:
        assert not table(2_000, 1).equals(table(2_000, 2))
        assert not demo.truth(2_000, 1).equals(demo.truth(2_000, 2))

    def test_files_are_equal_to_the_last_byte(self, tmp_path: Path) -> None:
        one, two = (demo.write(tmp_path / name, 5_000, SEED) for name in ("one", "two"))
        assert one.events.read_bytes() == two.events.read_bytes()
        assert one.planted.read_bytes() == two.planted.read_bytes()

    def test_seeds_may_be_large(self) -> None:
        assert table(1_000, 2**100).num_rows == 1_000


class TestShape:
    def test_columns_are_those_of_an_experience_event(self, tmp_path: Path) -> None:
        path = demo.write(tmp_path, 1_000, SEED).events
        found = dict(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{path}')").fetchall())
        assert found == {
            "identityMap": 'MAP(VARCHAR, STRUCT(id VARCHAR, authenticatedState VARCHAR, "primary" BOOLEAN)[])',
            "timestamp": "TIMESTAMP",
            "eventType": "VARCHAR",
            "commerce": 'STRUCT("order" STRUCT(purchaseID VARCHAR, priceTotal DOUBLE, currencyCode VARCHAR), '
            'purchases STRUCT(id VARCHAR, "value" DOUBLE), '
            "commerceScope STRUCT(environmentID VARCHAR, websiteCode VARCHAR, storeCode VARCHAR, "
            "storeViewCode VARCHAR))",
            "productListItems": 'STRUCT(SKU VARCHAR, "name" VARCHAR, quantity BIGINT, priceTotal DOUBLE, '
            "currencyCode VARCHAR)[]",
            "web": 'STRUCT(webPageDetails STRUCT("name" VARCHAR, siteSection VARCHAR, URL VARCHAR, '
            'pageViews STRUCT("value" DOUBLE), storeCode VARCHAR))',
        }

    @pytest.mark.parametrize("events", [1_000, 1_019, 250_000, 350_001])
    def test_there_are_exactly_as_many_events_as_asked_for(self, events: int) -> None:
        batches = list(demo.generate(events, SEED))
        for batch in batches:
            batch.validate(full=True)
            assert batch.num_rows < 310_000
        assert sum(batch.num_rows for batch in batches) == events

    def test_there_is_about_one_customer_per_twenty_events(self, database: duckdb.DuckDBPyConnection) -> None:
        [(customers,)] = database.sql("SELECT count(DISTINCT identityMap['ECID'][1].id) FROM events").fetchall()
        assert customers == EVENTS / 20

    def test_blocks_share_no_customer_and_no_order(self) -> None:
        connection = connect(table(450_000, SEED), demo.truth(450_000, SEED))
        [(customers, orders, purchases, stores)] = connection.sql("""
            SELECT count(DISTINCT identityMap['ECID'][1].id), count(DISTINCT commerce."order".purchaseID),
                   count(*) FILTER (eventType = 'commerce.purchases'),
                   count(DISTINCT (identityMap['ECID'][1].id, web.webPageDetails.storeCode))
            FROM events""").fetchall()
        assert abs(customers - 450_000 / 20) <= 2
        assert orders == purchases
        assert stores == customers

    def test_every_kind_of_event_is_there_in_a_sensible_mix(self, database: duckdb.DuckDBPyConnection) -> None:
        share = dict(database.sql(f"SELECT eventType, count(*) / {EVENTS} FROM events GROUP BY ALL").fetchall())
        assert set(share) == {
            "web.webpagedetails.pageViews",
            "commerce.productViews",
            "commerce.productListAdds",
            "commerce.checkouts",
            "commerce.purchases",
            "commerce.backofficeCreditMemoIssued",
        }
        assert share["web.webpagedetails.pageViews"] > share["commerce.productViews"] > 0.1
        assert 0.05 < share["commerce.purchases"] < share["commerce.checkouts"]

    def test_only_orders_have_prices(self, database: duckdb.DuckDBPyConnection) -> None:
        rows = database.sql("""
            SELECT eventType IN ('commerce.purchases', 'commerce.backofficeCreditMemoIssued') AS ordered,
                   bool_and((commerce."order" IS NOT NULL) = ordered),
                   bool_and((commerce.purchases IS NOT NULL) = (eventType = 'commerce.purchases')),
                   bool_and((productListItems IS NULL) = (eventType LIKE 'web.%')),
                   count(*) FILTER ((productListItems[1].priceTotal IS NOT NULL) != ordered),
                   max(abs(list_sum(list_transform(productListItems, lambda i: i.priceTotal))
                           - commerce."order".priceTotal))
            FROM events GROUP BY ALL ORDER BY ALL""").fetchall()
        assert rows[0] == (False, True, True, True, 0, None)
        assert rows[1][:5] == (True, True, True, True, 0)
        assert rows[1][5] < 1e-9

    def test_times_fall_into_the_demo_year_and_rise(self, database: duckdb.DuckDBPyConnection) -> None:
        times = database.sql("SELECT timestamp FROM events").fetchnumpy()["timestamp"]
        assert times.min() >= np.datetime64(demo.START_DATE)
        assert times.max() < np.datetime64(demo.END_DATE)
        assert (np.diff(times) >= np.timedelta64(0)).all()

    def test_stores_agree_wherever_they_stand(self, database: duckdb.DuckDBPyConnection) -> None:
        found = database.sql("""
            SELECT DISTINCT web.webPageDetails.storeCode, commerce.commerceScope.storeViewCode,
                   identityMap['ECID'][1].id[:2]
            FROM events ORDER BY ALL""").fetchall()
        assert found == [
            ("comfort_wear_store_view", "comfort_wear_store_view", "CW"),
            ("sporty_style_store_view", "sporty_style_store_view", "SS"),
        ]

    def test_spending_and_buying_differ_from_customer_to_customer(self, database: duckdb.DuckDBPyConnection) -> None:
        for store in demo.STORES:
            ordinary = features(database, store.store_id, "ordinary")
            skewness = ((ordinary["worth"] - ordinary["worth"].mean()) ** 3).mean() / ordinary["worth"].std() ** 3
            assert skewness > 1
            assert ordinary["orders"].var() > 1.2 * (ordinary["orders"].mean() - 1)
            assert len(np.unique(ordinary["recency"])) > 250


class TestPlantedAnomalies:
    @pytest.mark.parametrize("events", [1_000, 1_500, 4_000, EVENTS])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_each_store_has_each_kind_and_all_stand_in_the_events(self, events: int, seed: int) -> None:
        connection = connect(table(events, seed), demo.truth(events, seed))
        counts = connection.sql("""
            SELECT p.store_id, p.kind, count(*), count(e.id) FROM planted p
            LEFT JOIN (SELECT DISTINCT identityMap['ECID'][1].id AS id,
                                       web.webPageDetails.storeCode AS store_id FROM events) e
            ON e.id = p.customer_id AND e.store_id = p.store_id
            GROUP BY ALL""").fetchall()
        assert {(store, kind) for store, kind, _, _ in counts} == {
            (store.store_id, kind) for store in demo.STORES for kind in demo.KINDS
        }
        assert all(planted == present for _, _, planted, present in counts)

    @pytest.mark.parametrize("events", [EVENTS, 1_000_000])
    def test_one_to_two_customers_in_a_hundred_are_planted(self, events: int) -> None:
        planted = demo.truth(events, SEED)
        assert 0.01 < planted.num_rows / (events / 20) < 0.02
        assert pc.count_distinct(planted["customer_id"]).as_py() == planted.num_rows

    @STORES
    def test_frequent_shoppers_order_most_and_stay_longest(
        self, database: duckdb.DuckDBPyConnection, store: str
    ) -> None:
        ordinary = features(database, store, "ordinary")
        frequent = features(database, store, "frequent_long_lived")
        assert frequent["orders"].min() > ordinary["orders"].max()
        assert frequent["seconds"].min() > np.quantile(ordinary["seconds"], 0.99)
        spread = ordinary["orders"].std(ddof=1)
        assert ((frequent["orders"] - ordinary["orders"].mean()) / spread > 10).all()

    @STORES
    def test_sudden_buyers_spend_much_and_only_just_now(self, database: duckdb.DuckDBPyConnection, store: str) -> None:
        ordinary = features(database, store, "ordinary")
        sudden = features(database, store, "high_value_recent")
        for feature in ("worth", "first_item"):
            assert sudden[feature].min() > np.quantile(ordinary[feature], 0.99)
        assert sudden["recency"].max() <= 10 < np.quantile(ordinary["recency"], 0.2)
        assert sudden["orders"].max() <= 3

    @STORES
    def test_bots_place_many_tiny_orders_within_hours(self, database: duckdb.DuckDBPyConnection, store: str) -> None:
        ordinary = features(database, store, "ordinary")
        bots = features(database, store, "bot_tiny_orders")
        assert bots["orders"].min() > ordinary["orders"].max()
        assert bots["seconds"].max() < 3 * 3600
        for feature in ("worth", "first_item"):
            assert bots[feature].max() < np.quantile(ordinary[feature], 0.02)

    @STORES
    def test_refunded_orders_are_enormous(self, database: duckdb.DuckDBPyConnection, store: str) -> None:
        ordinary = features(database, store, "ordinary")
        refunded = features(database, store, "refund_extreme")
        for feature in ("worth", "first_item"):
            assert refunded[feature].min() > ordinary[feature].max()
            assert refunded[feature].min() > 20 * np.median(ordinary[feature])
        assert (refunded["orders"] == 1).all()

    def test_refunds_cancel_their_order_soon_after(self, database: duckdb.DuckDBPyConnection) -> None:
        pairs = database.sql("""
            SELECT bought.productListItems[1].SKU = back.productListItems[1].SKU,
                   bought.commerce."order".priceTotal + back.commerce."order".priceTotal,
                   bought.productListItems[1].quantity + back.productListItems[1].quantity,
                   date_diff('second', bought.timestamp, back.timestamp),
                   back.productListItems[1].priceTotal < 0, bought.identityMap = back.identityMap
            FROM events bought
            JOIN events back ON bought.commerce."order".purchaseID = back.commerce."order".purchaseID
            WHERE bought.eventType = 'commerce.purchases'
              AND back.eventType = 'commerce.backofficeCreditMemoIssued'""").fetchall()
        kinds = demo.truth(EVENTS, SEED)["kind"].to_pylist()
        assert len(pairs) == kinds.count("refund_extreme")
        for same_product, money, pieces, seconds, negative, same_customer in pairs:
            assert same_product
            assert negative
            assert same_customer
            assert (money, pieces) == (0, 0)
            assert 60 < seconds < 1_800


class TestArguments:
    @pytest.mark.parametrize("call", [demo.generate, demo.truth])
    @pytest.mark.parametrize(
        ("events", "seed", "message"),
        [
            (-1, 0, "events = -1: need 1,000 or more"),
            (0, 0, "events = 0: need 1,000 or more"),
            (1, 0, "events = 1: need 1,000 or more"),
            (999, 0, "events = 999: need 1,000 or more"),
            (True, 0, "events = True: need a whole number"),
            (2000.0, 0, "events = 2000.0: need a whole number"),
            ("2000", 0, "events = '2000': need a whole number"),
            (2_000, -1, "seed = -1: need 0 or more"),
            (2_000, 1.5, "seed = 1.5: need a whole number"),
            (2_000, None, "seed = None: need a whole number"),
            (2_000, False, "seed = False: need a whole number"),
        ],
    )
    def test_bad_arguments_are_refused_at_once(self, call: Any, events: object, seed: object, message: str) -> None:
        with pytest.raises(UsageError) as caught:
            call(events, seed)
        assert str(caught.value).startswith(message)

    def test_bad_arguments_leave_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            demo.write(tmp_path / "new", 0, SEED)
        assert list(tmp_path.iterdir()) == []


class TestWriting:
    def test_files_hold_what_generate_and_truth_give(self, tmp_path: Path) -> None:
        seen: list[tuple[str, float, float]] = []
        written = demo.write(
            tmp_path / "a" / "b",
            EVENTS,
            SEED,
            lambda step, numbers: seen.append((step, numbers["rows"], numbers["total"])),
        )
        assert written.events == tmp_path / "a" / "b" / "events.parquet"
        assert written.planted == tmp_path / "a" / "b" / "planted_anomalies.parquet"
        assert (written.event_count, written.planted_count) == (EVENTS, demo.truth(EVENTS, SEED).num_rows)
        assert pq.read_table(written.events).equals(table(EVENTS, SEED))
        assert pq.read_table(written.planted).equals(demo.truth(EVENTS, SEED))
        assert seen[-1] == ("generate", EVENTS, EVENTS)
        assert sorted(p.name for p in written.events.parent.iterdir()) == [
            "events.parquet",
            "planted_anomalies.parquet",
        ]

    def test_older_files_are_replaced(self, tmp_path: Path) -> None:
        demo.write(tmp_path, 2_000, 1)
        written = demo.write(tmp_path, 1_000, 2)
        assert pq.read_table(written.events).num_rows == 1_000

    def test_a_file_in_the_folders_place_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        with pytest.raises(WorkspaceError, match=r"taken.*choose a writable folder"):
            demo.write(tmp_path / "taken", 1_000, SEED)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder_is_named(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o555)
        with pytest.raises(WorkspaceError, match="Permission denied"):
            demo.write(tmp_path, 1_000, SEED)

    def test_a_full_disk_leaves_the_old_files_and_no_half_one(self, tmp_path: Path) -> None:
        old = demo.write(tmp_path, 1_000, SEED)
        before = old.events.read_bytes()
        script = textwrap.dedent("""
            import resource, sys
            from hanse import demo, errors
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                demo.write(sys.argv[1], 60_000, 1)
            except errors.WorkspaceError as error:
                print(error)
        """)
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert result.stdout.startswith(f"cannot write the demo's data into {tmp_path}: File too large")
        assert result.stderr == ""
        assert sorted(p.name for p in tmp_path.iterdir()) == ["events.parquet", "planted_anomalies.parquet"]
        assert old.events.read_bytes() == before

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, HanseError, RuntimeError])
    def test_an_interruption_leaves_nothing(self, tmp_path: Path, interruption: type[BaseException]) -> None:
        def stop(step: str, numbers: Mapping[str, float]) -> None:
            raise interruption

        with pytest.raises(interruption):
            demo.write(tmp_path, 500_000, SEED, stop)
        assert list(tmp_path.iterdir()) == []


def test_importing_the_demo_loads_neither_numpy_nor_arrow() -> None:
    script = "import sys, hanse.demo; print(sorted({'numpy', 'pyarrow', 'duckdb'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == "[]"
