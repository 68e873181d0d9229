"""federated_compare, and the report of a model over silos: against the rows that the silos keep to themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import hanse
from hanse.errors import BindError, FederationError
from hanse.federation.comparison import local_clusters
from hanse.federation.policy import Policy

SIZES = {"alpha": 600, "beta": 400}
MODEL = (
    "CREATE FEDERATED MODEL {name} TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
    "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, STRATEGY = '{strategy}') OVER SILOS (alpha, beta) "
    "AS SELECT spend, orders FROM customer_features"
)


def customers(store: int, size: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(store)
    kinds: list[Any] = [([10, 2], [2, 1], size), ([40, 8], [3, 1], size // 5), ([15, 40], [2, 2], 12 + 2 * store)]
    return np.concatenate([random.normal(mean, spread, (count, 2)) for mean, spread, count in kinds])


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, np.ndarray[Any, Any]]:
    found = {name: customers(number, size) for number, (name, size) in enumerate(SIZES.items())}
    for name, array in found.items():
        (tmp_path / name).mkdir()
        ids = [f"secret-{name}-{i}" for i in range(len(array))]
        with duckdb.connect(str(tmp_path / name / f"{name}.duckdb")) as connection:
            given = pa.table({"customer_id": ids, "spend": array[:, 0], "orders": array[:, 1]})
            connection.register("given", given)
            connection.execute("CREATE TABLE customer_features AS SELECT * FROM given")
    return found


@pytest.fixture
def league(tmp_path: Path, rows: dict[str, Any]) -> Any:
    with hanse.connect(tmp_path / "w") as session:
        for name in rows:
            file = {"file": str(tmp_path / name / f"{name}.duckdb")}
            session.sql(f"CREATE SILO {name} OPTIONS (database = $file)", file).fetchall()
        session.sql(MODEL.format(name="g", strategy="one_shot")).fetchall()
        yield session


def nearest(rows: np.ndarray[Any, Any], centroids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(((rows[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1))


def test_cells_are_those_of_the_rows(league: Any, rows: dict[str, Any]) -> None:
    found = league.sql("SELECT * FROM federated_compare(g, 1)").fetchall()
    predicted = league.sql("SELECT * FROM model_centroids(g, 1) ORDER BY prediction").arrow()
    world = np.column_stack([predicted["spend"], predicted["orders"]])
    own = local_clusters(league.federation.journal, "g", 2)
    moments = np.concatenate(list(rows.values()))
    for silo, array in rows.items():
        scaled = (array - moments.mean(axis=0)) / moments.std(axis=0, ddof=1)
        ours, theirs = nearest(scaled, own[silo].centroids), nearest(scaled, world)
        table = np.zeros((len(own[silo].centroids), len(world)))
        np.add.at(table, (ours, theirs), 1)
        told = {(i, j): n for name, i, j, n, *_ in found if name == silo}
        assert told
        assert sum(n for n in told.values() if n is not None) == len(array)
        for (i, j), n in told.items():
            assert n is None or n >= max(table[i, j], Policy().min_customers)
        exact = [cell for cell, n in told.items() if n == table[cell]]
        assert len(exact) >= 2


def test_what_it_asked_is_in_the_record_and_names_nobody(league: Any) -> None:
    league.sql("SELECT * FROM federated_compare(g, 1)").fetchall()
    record = league.sql("SHOW EGRESS FOR MODEL g").fetchall()
    compared = [row for row in record if row[5] == "compare"]
    assert {row[4] for row in compared} == set(SIZES)
    assert {row[7] for row in compared} == {"contingency (3, 3)"}


@pytest.fixture
def in_rounds(league: Any, tmp_path: Path) -> Any:
    """The league with silos whose policies allow rounds, and model ``r`` trained in them."""
    for name in SIZES:
        league.sql(f"DROP SILO {name}").fetchall()
        file = tmp_path / name / "silo.toml"
        file.write_text(
            f'name = "{name}"\ndatabase = "{name}.duckdb"\n[publish.customer_features]\nrelation = "customer_features"\n'
            'customer = "customer_id"\ncolumns = ["spend", "orders"]\n'
            '[policy]\nstrategies = ["rounds"]\nexact_rounds = true\n'
        )
        options = {"file": str(tmp_path / name / f"{name}.duckdb"), "config": str(file)}
        league.sql(f"CREATE SILO {name} OPTIONS (database = $file, config = $config)", options).fetchall()
    league.sql(MODEL.format(name="r", strategy="rounds")).fetchall()
    return league


def test_a_report_of_a_model_in_rounds_shows_how_it_converged(in_rounds: Any, tmp_path: Path) -> None:
    report = in_rounds.report("r", tmp_path / "rounds.html")
    assert report.federation is not None
    steps, inertia = zip(*report.federation.convergence, strict=True)
    assert steps == tuple(range(1, len(steps) + 1))
    assert len(steps) > 2
    assert inertia[-1] == min(inertia)
    (numbers,) = in_rounds.sql("SELECT sum(inertia) FROM model_centroids(r, 1)").fetchall()
    assert inertia[-1] == pytest.approx(numbers[0], rel=1e-6)
    assert "Convergence: inertia by round" in (tmp_path / "rounds.html").read_text(encoding="utf-8")


def test_a_strategy_without_local_clusters_has_nothing_to_compare(in_rounds: Any) -> None:
    result = in_rounds.sql("SELECT * FROM federated_compare(r, 1)")
    assert result.fetchall() == []
    assert result.warnings == ["no silo released clusters of its own when model r was trained: nothing to compare"]


def test_bad_calls_say_what_is_wrong(league: Any, tmp_path: Path) -> None:
    league.sql("CREATE TABLE t AS SELECT id % 5 AS spend, id % 3 AS orders FROM range(60)").fetchall()
    league.sql("CREATE MODEL mine OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT * FROM t").fetchall()
    with pytest.raises(BindError, match="was not trained over silos"):
        league.sql("SELECT * FROM federated_compare(mine, 1)").fetchall()
    league.sql("DROP SILO beta").fetchall()
    with pytest.raises(FederationError, match="silo beta of model g is unknown here"):
        league.sql("SELECT * FROM federated_compare(g, 1)").fetchall()


# -- the report ---------------------------------------------------------------------------------


def test_a_report_of_a_model_over_silos(league: Any, tmp_path: Path) -> None:
    report = league.report("g", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    federation = report.federation
    assert federation is not None
    assert report.parts == ()
    assert report.against is not None
    assert [silo.name for silo in federation.silos] == list(SIZES)
    assert all(silo.took_part and silo.agreement is not None for silo in federation.silos)
    measures = dict(league.sql("SELECT silo, silhouette FROM federated_evaluate(g, 1)").fetchall())
    assert {s.name: s.measures["silhouette"] for s in federation.silos if s.measures} == pytest.approx(measures)
    assert {r.kind for r in federation.releases} >= {"moments", "summarize", "evaluate", "compare", "install"}
    assert "whose customers stayed where they are" in page
    assert "secret-" not in page


def test_a_store_against_a_model_over_silos(league: Any, rows: dict[str, Any], tmp_path: Path) -> None:
    array = rows["alpha"]
    mine = pa.table({"customer_id": [f"c{i}" for i in range(len(array))], "spend": array[:, 0], "orders": array[:, 1]})
    league.register("given", mine)
    league.sql("CREATE TABLE shop AS SELECT * FROM given").fetchall()
    league.sql(
        "CREATE MODEL local TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
        "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM shop"
    ).fetchall()
    report = league.report("local", tmp_path / "report.html", against="g")
    (part,) = report.parts
    assert part.agreement is not None
    assert sum(cell.customers or 0 for cell in part.agreement.cells) == len(array)
    assert report.federation is not None


def test_silos_that_are_gone_are_not_measured(league: Any, tmp_path: Path) -> None:
    league.sql("DROP SILO beta").fetchall()
    report = league.report("g", tmp_path / "report.html")
    assert report.federation is not None
    assert all(silo.measures is None for silo in report.federation.silos)
    assert {r.kind for r in report.federation.releases} >= {"moments", "summarize"}
    assert any("beta" in note for note in report.notes)
