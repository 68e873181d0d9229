"""The article's statements render and run unchanged; the features agree with the same sums in plain Python."""

from __future__ import annotations

import datetime
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlglot import exp

from hanse.sql.nodes import table_functions
from hanse.sql.parameters import bind_parameters
from hanse.sql.parser import parse
from hanse.sql.render import render, to_sql

from .render_support import DuckCatalog

SEED = Path(__file__).parents[2].parent / "shared" / "seed"
FILES = sorted(SEED.glob("*.sql"))
PARAMETERS = {"start_date": datetime.date(2011, 1, 1), "end_date": datetime.date(2011, 3, 1)}
FEATURES = ("avg_order_value", "total_orders", "customer_lifetime", "days_since_last_purchase")

pytestmark = pytest.mark.skipif(not FILES, reason="the article's statements (../shared/seed) are not here")


def events() -> list[dict[str, Any]]:
    """Sixty purchases of five customers in one store, some outside the dates and some without a price."""
    start = datetime.datetime(2011, 1, 1, 9, 30)
    return [
        {
            "identityMap": {"ECID": [{"id": f"c{i % 5}"}]},
            "timestamp": str(start + datetime.timedelta(hours=i * i)),
            "commerce": {"order": {"purchaseID": f"o{i}"}},
            "productListItems": [
                {"priceTotal": i % 7 * 1.25 or None, "quantity": 1},
                {"priceTotal": 1.0, "quantity": 2},
            ],
            "web": {"webPageDetails": {"storeCode": "comfort_wear_store_view"}},
        }
        for i in range(60)
    ]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = tmp_path_factory.mktemp("events") / "events.json"
    path.write_text("\n".join(map(json.dumps, events())))
    columns = {
        "identityMap": "MAP(VARCHAR, STRUCT(id VARCHAR)[])",
        "timestamp": "TIMESTAMP",
        "commerce": 'STRUCT("order" STRUCT(purchaseID VARCHAR))',
        "productListItems": "STRUCT(priceTotal DOUBLE, quantity INTEGER)[]",
        "web": "STRUCT(webPageDetails STRUCT(storeCode VARCHAR))",
    }
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute(f"CREATE TABLE hbi_web_events_v1 AS FROM read_json('{path}', columns = {columns})")
        opened.execute(f"CREATE TABLE src_for_fedlrn AS {rendered(FILES[0], opened)[0]}")
        standardised = ", ".join(f"1e0 AS standardized_{feature}" for feature in FEATURES)
        plain = ", ".join(f"1e0 AS {name}" for name in ("avg_order_value", *(f"avg_{feature}" for feature in FEATURES)))
        for name in ("scored", "lmodel_comfort_wear_store_view", "lmodel_sporty_style_store_view",
                     "gmodel_comfy_wear_predict", "gmodel_sporty_style_predict"):  # fmt: skip
            opened.execute(f"CREATE TABLE {name} AS SELECT 1 AS prediction, {standardised}, {plain}")
        yield opened


def rendered(path: Path, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Every query of a file, rendered, model_predict and model_evaluate read from a table."""
    found = []
    for statement in parse(path.read_text()):
        tree = getattr(statement, "tree", None) or getattr(statement, "query", None)
        if tree is None:
            continue
        for function in table_functions(tree):
            if function.args.get("query") is not None:
                query = bind_parameters(function.args["query"], PARAMETERS)
                found.append(to_sql(render(query, DuckCatalog(connection))))
            function.replace(exp.to_identifier("scored"))
        found.append(to_sql(render(bind_parameters(tree, PARAMETERS), DuckCatalog(connection))))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_statement_runs(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    queries = rendered(path, connection)
    assert queries
    for query in queries:
        assert connection.sql(query).fetchall() or "sporty" in path.stem


def test_the_features_agree_with_plain_python(connection: duckdb.DuckDBPyConnection) -> None:
    kept = defaultdict(list)
    for event in events():
        at = datetime.datetime.fromisoformat(event["timestamp"])
        priced = any((item["priceTotal"] or 0) > 0 for item in event["productListItems"])
        if priced and datetime.datetime(2011, 1, 1) <= at <= datetime.datetime(2011, 3, 1):
            kept[event["identityMap"]["ECID"][0]["id"]].append((at, event["productListItems"][0]["priceTotal"] or 0))
    raw = {}
    for customer, orders in kept.items():
        times = [at for at, _ in orders]
        lifetime = (max(times).date() - min(times).date()).days
        since_last = (datetime.datetime(2011, 3, 1) - max(times)).days
        raw[customer] = (statistics.mean(price for _, price in orders), len(orders), lifetime, since_last)
    columns = list(zip(*raw.values(), strict=True))
    means, deviations = [statistics.mean(c) for c in columns], [statistics.stdev(c) for c in columns]
    expected = {
        customer: [(x - m) / d if d else None for x, m, d in zip(values, means, deviations, strict=True)]
        for customer, values in raw.items()
    }
    [(features,)] = connection.sql("SELECT store_features FROM src_for_fedlrn").fetchall()
    found = {row["customer_id"]: [row[f"standardized_{feature}"] for feature in FEATURES] for row in features}
    assert found.keys() == expected.keys()
    for customer, values in found.items():
        assert values == pytest.approx(expected[customer], rel=1e-9, abs=1e-12)
