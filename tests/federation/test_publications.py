"""What a silo publishes: the owner's SQL, and the stores of a dataset as silos of their own."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from silo_support import blobs, codes, fill, new_run, silo_toml, task

from hanse.engines.duckdb import DuckDB
from hanse.federation import source
from hanse.federation.config import SiloConfig
from hanse.federation.silo import Silo

EVENTS = """
-- what a customer spent
SELECT customer AS customer_id, shop_id, CAST(SUM(amount) AS DOUBLE) AS x, COUNT(*) AS y
FROM events WHERE day >= $since GROUP BY customer, shop_id
"""


def events(folder: Path) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE events (customer INTEGER, shop_id VARCHAR, amount INTEGER, day DATE)")
        connection.execute(
            "INSERT INTO events SELECT i % 50, CASE WHEN i % 50 < 20 THEN 'north' ELSE 'St. Pauli/süd' END, i % 7, "
            "DATE '2026-01-01' + CAST(i % 10 AS INTEGER) FROM range(1000) t(i)"
        )


def published(sql: str = "features.sql", since: str = "2026-01-05", store: str = "") -> str:
    return (
        f'[publish.features]\nsql = "{sql}"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n{store}\n'
        f"[publish.features.params]\nsince = {since}\n"
    )


def test_the_owners_sql_with_parameters_is_published(tmp_path: Path) -> None:
    events(tmp_path)
    (tmp_path / "features.sql").write_text(EVENTS)
    with Silo(SiloConfig.load(silo_toml(tmp_path, publish=published()))) as silo:
        reply = silo.answer(task("moments", new_run()))
        assert reply.status == "ok", silo.ledger.entries[-1].detail
    with duckdb.connect(str(tmp_path / "shop.duckdb"), read_only=True) as connection:
        expected = connection.execute(
            "SELECT count(*), avg(x), avg(y) FROM (SELECT customer, sum(amount) x, count(*) y FROM events "
            "WHERE day >= DATE '2026-01-05' GROUP BY customer)"
        ).fetchone()
    assert expected is not None
    assert [reply.statistics["count"], *reply.statistics["mean"]] == pytest.approx(expected)


def definition(folder: Path, **given: str) -> str:
    with Silo(SiloConfig.load(silo_toml(folder, publish=published(**given)))) as silo:
        reply = silo.answer(task("describe", new_run()))
        assert reply.status == "ok", silo.ledger.entries[-1].detail
        return str(reply.facts["definition"])


def test_the_definition_is_sql_and_parameters_and_not_its_layout(tmp_path: Path) -> None:
    events(tmp_path)
    (tmp_path / "features.sql").write_text(EVENTS)
    (tmp_path / "same.sql").write_text(EVENTS.replace("-- what a customer spent", "").replace(" AS x, ", "   as x,\n"))
    (tmp_path / "other.sql").write_text(EVENTS.replace("SUM", "MAX"))
    first = definition(tmp_path)
    assert definition(tmp_path, sql="same.sql") == first
    assert definition(tmp_path, sql="other.sql") != first
    assert definition(tmp_path, since="2026-01-06") != first


def test_each_value_of_the_store_column_is_a_silo_of_its_own(tmp_path: Path) -> None:
    events(tmp_path)
    (tmp_path / "features.sql").write_text(EVENTS)
    with Silo(SiloConfig.load(silo_toml(tmp_path, publish=published(store='store = "shop_id"')))) as silo:
        ids = silo.ids()
        assert ids == ["shop/St.%20Pauli%2Fs%C3%BCd", "shop/north"]
        run = new_run()
        counts = [silo.answer(task("moments", run, silo=id_)).statistics["count"] for id_ in ids]
        assert counts == [18.0, 12.0]
        assert codes(silo.answer(task("moments", run))) == {"silo"}
        assert codes(silo.answer(task("moments", run, silo="shop/none"))) == {"small"}
        assert codes(silo.answer(task("moments", run, silo="shop'; --/x"))) == {"silo"}


@pytest.mark.parametrize(
    ("sql", "detail"),
    [
        ("SELECT 1; SELECT 2", "need one SELECT"),
        ("DROP TABLE events", "need one SELECT"),
        ("SELECT nope FROM events", "nope"),
        ("SELECT customer AS customer_id, 1 AS x FROM events", "column y does not exist"),
        ("SELECT customer AS customer_id, 1 AS x, shop_id AS y FROM events", "column y is of type VARCHAR"),
    ],
)
def test_sql_that_does_not_fit_fails_and_tells_the_owner_alone_why(tmp_path: Path, sql: str, detail: str) -> None:
    events(tmp_path)
    (tmp_path / "features.sql").write_text(sql)
    with Silo(SiloConfig.load(silo_toml(tmp_path, publish=published()))) as silo:
        reply = silo.answer(task("moments", new_run()))
        assert (reply.status, codes(reply)) == ("failed", {"schema"})
        assert "VARCHAR" not in reply.message
        assert detail in silo.ledger.entries[-1].detail


def test_an_embedded_silo_publishes_what_has_a_customer(tmp_path: Path) -> None:
    fill(tmp_path / "shop.duckdb", blobs([40]), table="a", note=["text"] * 40)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE VIEW b AS SELECT customer_id AS Customer_ID, x, x > 0 AS y FROM a")
        connection.execute("CREATE TABLE c AS SELECT 1 AS x")
    with Silo.embedded(tmp_path / "shop.duckdb", name="shop") as silo:
        run = new_run()
        assert silo.answer(task("describe", run, relation="A")).facts["columns"] == {"x": "DOUBLE", "y": "DOUBLE"}
        assert silo.answer(task("moments", run, relation="b")).status == "ok"
        assert codes(silo.answer(task("moments", run, relation="c"))) == {"schema"}
        assert silo.ids() == ["shop"]
        assert silo.config.ledger.parent == tmp_path
        assert silo.policy.install == "auto"


def test_a_database_that_is_missing_fails_and_names_no_path(tmp_path: Path) -> None:
    with Silo.embedded(tmp_path / "none.duckdb", name="shop") as silo:
        reply = silo.answer(task("moments", new_run()))
        assert (reply.status, codes(reply)) == ("failed", {"failed"})
        assert str(tmp_path) not in reply.message
        assert "none.duckdb" in silo.ledger.entries[-1].detail


def test_a_published_view_that_no_longer_works(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE base AS SELECT 1 AS customer_id, 2 AS x, 3 AS y")
        connection.execute("CREATE VIEW features AS SELECT * FROM base; DROP TABLE base")
    publish = '[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n'
    with Silo(SiloConfig.load(silo_toml(tmp_path, publish=publish))) as silo:
        reply = silo.answer(task("moments", new_run()))
        assert (reply.status, reply.statistics) == ("failed", {})
        assert "view features no longer works" in silo.ledger.entries[-1].detail


def test_what_a_database_publishes_unasked_is_what_works(tmp_path: Path) -> None:
    with closing(DuckDB(tmp_path / "shop.duckdb")) as engine:
        engine.execute("CREATE TABLE base AS SELECT 1 AS customer_id; CREATE TABLE kept AS SELECT 1 AS customer_id")
        engine.execute("CREATE VIEW features AS SELECT * FROM base; DROP TABLE base")
        (tmp_path / "features.sql").write_text(EVENTS)
        config = SiloConfig.load(silo_toml(tmp_path, publish=published()))
        assert list(source.published(dataclasses.replace(config, publish=None), engine)) == ["kept"]
