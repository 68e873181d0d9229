"""One dataset, several stores, each a silo of its own; and silos that publish different things: over a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from federation_support import nats_server
from fleet_support import Fleet

import hanse
from hanse.errors import FederationError
from hanse.federation.audit import entries_of, verify

STORES = {"north": 240, "St. Pauli/süd": 160, "tiny": 4}
ALONE = 120
POLICY = """
[policy]
strategies = ["one_shot", "rounds"]
exact_rounds = true
install = "auto"
"""
SILOS = {
    "chain": '[publish.shoppers]\nrelation = "shoppers"\ncustomer = "customer_id"\nstore = "shop"\n'
    'columns = ["spend", "orders"]\n' + POLICY,
    "alone": '[publish.shoppers]\nrelation = "shoppers"\ncustomer = "customer_id"\ncolumns = ["spend", "orders"]\n'
    + POLICY,
    "drifted": """
[publish.shoppers]
relation = "shoppers"
customer = "customer_id"
columns = ["spend"]
[publish.typed]
relation = "typed"
customer = "customer_id"
columns = ["spend", "orders"]
[publish.bounded]
relation = "shoppers"
customer = "customer_id"
columns = ["spend", "orders"]
bounds = { spend = [0, 100] }
"""
    + POLICY,
    "steady": """
[publish.shoppers]
relation = "shoppers"
customer = "customer_id"
columns = ["spend", "orders"]
[publish.typed]
relation = "shoppers"
customer = "customer_id"
columns = ["spend", "orders"]
[publish.bounded]
relation = "shoppers"
customer = "customer_id"
columns = ["spend", "orders"]
bounds = { spend = [0, 90] }
"""
    + POLICY,
}


def rows_of(seed: int, size: int) -> Any:
    random = np.random.default_rng(seed)
    centres = np.array([[10.0, 2.0], [40.0, 8.0], [15.0, 20.0]])
    return centres[random.choice(3, size, p=[0.5, 0.3, 0.2])] + random.normal(size=(size, 2))


ROWS = {store: rows_of(number, size) for number, (store, size) in enumerate(STORES.items())}
ROWS_ALONE = rows_of(9, ALONE)


def fill(name: str, path: Path) -> None:
    """The chain's table holds every store's rows; the others' one store each."""
    parts = ROWS if name == "chain" else {"": ROWS_ALONE}
    rows = np.concatenate(list(parts.values()))
    held = {
        "customer_id": [f"{store}-{i}" for store, part in parts.items() for i in range(len(part))],
        "shop": [store for store, part in parts.items() for _ in part],
        "spend": rows[:, 0],
        "orders": rows[:, 1],
    }
    with duckdb.connect(str(path)) as connection:
        connection.register("given", pa.table(held))
        connection.execute("CREATE TABLE shoppers AS SELECT * FROM given")
        connection.execute("CREATE TABLE typed AS SELECT * REPLACE (CAST(orders AS INTEGER) AS orders) FROM shoppers")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    nats_server()
    made = Fleet(tmp_path_factory.mktemp("stores"), SILOS, fill)
    yield made
    made.close()


@pytest.fixture
def league(fleet: Fleet) -> Iterator[hanse.Session]:
    """The coordinator; it calls the stores north, south, tiny and nowhere."""
    with hanse.connect(federation=fleet.coordinator) as session:
        session.sql(
            "CREATE SILO north OPTIONS (subject = 'chain', store = 'north');"
            "CREATE SILO south OPTIONS (subject = 'chain', store = 'St. Pauli/süd');"
            "CREATE SILO tiny OPTIONS (subject = 'chain', store = 'tiny');"
            "CREATE SILO nowhere OPTIONS (subject = 'chain', store = 'North');"
            "CREATE SILO chain OPTIONS (subject = 'chain');"
            "CREATE SILO alone OPTIONS (subject = 'alone');"
        )
        yield session


def statement(silos: str, more: str = "", relation: str = "shoppers", name: str = "g") -> str:
    return (
        f"CREATE OR REPLACE FEDERATED MODEL {name} TRANSFORM (vector_assembler(array(spend, orders)) f, "
        f"standard_scaler(f, true, true) z) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, TIMEOUT = 60{more}) "
        f"OVER SILOS ({silos}) AS SELECT spend, orders FROM {relation}"
    )


NORTH, SOUTH = "chain/north", "chain/St.%20Pauli%2Fs%C3%BCd"


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
def test_each_store_of_a_dataset_trains_and_is_evaluated_as_a_silo_of_its_own(
    league: hanse.Session, fleet: Fleet, strategy: str
) -> None:
    shown = {row[0]: row[1:4] for row in league.sql("SHOW SILOS").fetchall()}
    assert shown["south"] == ("subject", "chain", "St. Pauli/süd")
    assert shown["alone"] == ("subject", "alone", "")
    asked = league.sql("EXPLAIN EGRESS " + statement("north, south, alone")).fetchall()
    assert {row[0] for row in asked} == {NORTH, SOUTH, "alone"}
    assert all("min_customers = 10" in row[3] for row in asked)

    result = league.sql(statement("north, south, alone", f", STRATEGY = '{strategy}'"))
    assert result.warnings == []
    pooled = np.concatenate([ROWS["north"], ROWS["St. Pauli/süd"], ROWS_ALONE])
    assert int(dict(league.sql("DESCRIBE MODEL g").fetchall())["rows"]) == len(pooled)
    league.register("pooled", pa.table({"spend": pooled[:, 0], "orders": pooled[:, 1]}))
    league.sql(
        "CREATE MODEL local TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
        "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, SPLIT_STARTS = 1) AS SELECT * FROM pooled"
    )
    ours, theirs = (np.array(league.sql(f"SELECT * FROM model_centroids({m}, 1)").fetchall()) for m in ("g", "local"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)  # the kinds of shoppers are told apart everywhere

    measured = {row[0]: row for row in league.sql("SELECT * FROM federated_evaluate(g, 1)").fetchall()}
    assert {silo: row[-1] for silo, row in measured.items()} == {NORTH: 240, SOUTH: 160, "alone": 120}
    rows = ROWS["St. Pauli/süd"]
    league.register("own", pa.table({"spend": rows[:, 0], "orders": rows[:, 1]}))
    local = league.sql("SELECT * FROM model_evaluate(g, 1, SELECT * FROM own)").fetchall()[0]
    assert measured[SOUTH][1:] == pytest.approx(local, rel=1e-9)

    with hanse.connect(registry=fleet.league / "chain" / "registry.sqlite") as store:
        assert {row[1] for row in store.sql("SHOW MODELS").fetchall()} == {"league.g"}
    relations = {entry.relation for entry in entries_of(fleet.ledger("chain")) if entry.kind == "moments"}
    assert {"shoppers/north", "shoppers/St. Pauli/süd"} <= relations
    assert verify(fleet.ledger("chain")).problems == ()


def test_stores_of_one_dataset_in_process_give_the_same_model(league: hanse.Session, fleet: Fleet) -> None:
    league.sql(statement("north, south, alone"))
    with hanse.connect() as session:
        for name, more in (("north", "north"), ("south", "St. Pauli/süd"), ("alone", "")):
            folder = fleet.league / ("chain" if more else "alone")
            files = f"database = '{folder / folder.name}.duckdb', config = '{folder / 'silo.toml'}'"
            which = f", store = '{more}'" if more else ""
            session.sql(f"CREATE SILO {name} OPTIONS ({files}{which})")
        assert session.sql(statement("north, south, alone")).warnings == []
        query = "SELECT * FROM model_centroids(g, 1)"
        assert session.sql(query).fetchall() == league.sql(query).fetchall()


def test_a_store_that_does_not_exist_is_named_and_one_that_is_too_small_sounds_the_same(league: hanse.Session) -> None:
    told = "or it has fewer customers than min_customers"
    result = league.sql(statement("north, alone, nowhere, tiny", ", QUORUM = 2", name="h"))
    assert sorted(result.warnings) == [
        f"silo chain/North took no part: refused: store 'North' of shoppers: there is none of that name, {told}: "
        "nothing leaves",
        f"silo chain/tiny took no part: refused: store 'tiny' of shoppers: there is none of that name, {told}: "
        "nothing leaves",
    ]
    with pytest.raises(FederationError, match=r"quorum missed: 1 of 2 silos .*chain/North: refused: store 'North'"):
        league.sql(statement("north, nowhere", name="i"))


def test_a_dataset_of_several_stores_is_no_silo_itself_nor_a_silo_without_stores_several(league: hanse.Session) -> None:
    with pytest.raises(FederationError, match=r"chain: refused: shoppers is several silos here, .* ask chain/STORE"):
        league.sql(statement("chain, alone", name="j"))
    league.sql("CREATE SILO lone_north OPTIONS (subject = 'alone', store = 'north')")
    with pytest.raises(FederationError, match=r"alone/north: refused: shoppers has no stores here: ask alone"):
        league.sql(statement("lone_north, alone", name="j"))
    assert not {row[1] for row in league.sql("SHOW MODELS").fetchall()} & {"i", "j"}


# -- silos that publish different things ------------------------------------------------------


@pytest.fixture(params=["over the broker", "in process"])
def differing(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[hanse.Session]:
    """The two silos that differ, reached in either way."""
    with hanse.connect(federation=fleet.coordinator) as session:
        for name in ("steady", "drifted"):
            folder = fleet.league / name
            embedded = f"database = '{folder / name}.duckdb', config = '{folder / 'silo.toml'}'"
            way = f"subject = '{name}'" if request.param == "over the broker" else embedded
            session.sql(f"CREATE SILO {name} OPTIONS ({way})")
        yield session


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ("shoppers", "(drifted: refused: column orders of shoppers is not published here)"),
        (
            "typed",
            "column orders of typed is INTEGER at silo drifted and DOUBLE at silo steady: publish the same types",
        ),
        ("bounded", "silo drifted defines bounded in another way than silo steady"),
    ],
)
def test_silos_that_differ_are_named_with_the_column(differing: hanse.Session, relation: str, message: str) -> None:
    with pytest.raises(FederationError) as caught:
        differing.sql(statement("steady, drifted", relation=relation))
    assert message in str(caught.value)
    assert differing.sql("SHOW MODELS").fetchall() == []


def test_a_relation_that_one_silo_does_not_publish_is_named(differing: hanse.Session) -> None:
    with pytest.raises(FederationError) as caught:
        differing.sql(statement("steady, drifted", relation="nothing"))
    for name in ("steady", "drifted"):
        assert f"{name}: refused: " in str(caught.value)
    assert json.dumps("nothing").strip('"') in str(caught.value)
