"""Federated statements over silos in this process: the same agents, gates and ledgers as over a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans

import hanse
from hanse.errors import BindError, FederationError, ModelExistsError, ParseError, UnsupportedError
from hanse.federation.coordinator import Coordinator

SIZES = {"alpha": 600, "beta": 400, "gamma": 150}
OPTIONS = "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3"


def customers(store: int, size: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(store)
    return np.concatenate(
        [
            random.normal([10, 2], [2, 1], (size, 2)),
            random.normal([40, 8], [3, 1], (size // 5, 2)),
            random.normal([15, 20], [2, 2], (size // 8, 2)),
        ]
    )


def database(folder: Path, name: str) -> Path:
    """Each store keeps its files in a folder of its own."""
    return folder / name / f"{name}.duckdb"


def make_store(path: Path, rows: np.ndarray[Any, Any], table: str = "customer_features") -> None:
    path.parent.mkdir()
    names = [f"{path.stem}-{i}" for i in range(len(rows))]
    data = pa.table({"customer_id": names, "spend": rows[:, 0], "orders": rows[:, 1]})
    with duckdb.connect(str(path)) as connection:
        connection.register("rows_", data)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM rows_")


def silo_toml(folder: Path, name: str, policy: str) -> Path:
    file = folder / name / "silo.toml"
    file.write_text(
        f'name = "{name}"\ndatabase = "{name}.duckdb"\n[publish.customer_features]\nrelation = "customer_features"\n'
        f'customer = "customer_id"\ncolumns = ["spend", "orders"]\n[policy]\n{policy}\n'
    )
    return file


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, np.ndarray[Any, Any]]:
    rows = {name: customers(number, size) for number, (name, size) in enumerate(SIZES.items())}
    for name, array in rows.items():
        make_store(database(tmp_path, name), array)
    return rows


@pytest.fixture
def league(tmp_path: Path, stores: dict[str, Any]) -> Any:
    with hanse.connect(tmp_path / "w") as session:
        for name in stores:
            session.sql(f"CREATE SILO {name} OPTIONS (database = $file)", {"file": str(database(tmp_path, name))})
        yield session


def statement(
    name: str = "g", options: str = OPTIONS, silos: str = "alpha, beta, gamma", query: str | None = None
) -> str:
    return (
        f"CREATE FEDERATED MODEL {name} TRANSFORM (vector_assembler(array(spend, orders)) f, "
        f"standard_scaler(f, true, true) z) OPTIONS ({options}) OVER SILOS ({silos}) AS "
        f"{query or 'SELECT spend, orders FROM customer_features'}"
    )


def pooled_inertia(stores: dict[str, np.ndarray[Any, Any]]) -> float:
    rows = np.concatenate(list(stores.values()))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    return float(KMeans(3, n_init=10, random_state=0).fit(scaled).inertia_)


def test_one_shot_comes_near_the_pooled_model(league: Any, stores: dict[str, Any]) -> None:
    result = league.sql(statement())
    assert result.kind == "create_federated_model"
    assert result.columns == ["model_id", "model", "version"]
    assert result.warnings == []
    described = dict(league.sql("DESCRIBE MODEL g").fetchall())
    assert int(described["rows"]) == sum(len(rows) for rows in stores.values())
    sizes = [n for (n,) in league.sql("SELECT cluster_size FROM model_centroids(g, 1) ORDER BY prediction").fetchall()]
    assert sum(sizes) == int(described["rows"])
    measured = league.sql("SELECT * FROM federated_evaluate(g, 1) ORDER BY silo")
    assert measured.columns[:2] == ["silo", "silhouette"]
    rows = measured.fetchall()
    assert [row[0] for row in rows] == list(SIZES)
    assert [row[-1] for row in rows] == [len(rows) for rows in stores.values()]
    within = sum(row[3] for row in rows)
    assert within <= pooled_inertia(stores) * 1.0001


def test_a_silo_evaluates_as_model_evaluate_does_over_its_rows(
    league: Any, stores: dict[str, Any], tmp_path: Path
) -> None:
    league.sql(statement())
    federated = league.sql("SELECT * FROM federated_evaluate(g, 1) WHERE silo = 'beta'").fetchall()[0]
    rows = stores["beta"]
    league.register("own", pa.table({"spend": rows[:, 0], "orders": rows[:, 1]}))
    local = league.sql("SELECT * FROM model_evaluate(g, 1, SELECT spend, orders FROM own)").fetchall()[0]
    assert federated[1:] == pytest.approx(local, rel=1e-9)


def test_the_model_is_installed_at_each_silo(league: Any, tmp_path: Path) -> None:
    league.sql(statement())
    with hanse.connect(registry=tmp_path / "alpha" / "registry.sqlite") as store:
        assert [row[1] for row in store.sql("SHOW MODELS").fetchall()] == ["league.g"]
        assert store.sql("SELECT source FROM (SELECT 1 AS source)").fetchall() == [(1,)]
        predicted = store.sql(
            "SELECT * FROM model_predict(league.g, 1, SELECT 40.0 AS spend, 8.0 AS orders)"
        ).fetchall()
        assert predicted[0][-1] in (0, 1, 2)


def test_what_leaves_is_shown_before_and_after(league: Any) -> None:
    before = league.sql("EXPLAIN EGRESS " + statement()).fetchall()
    assert {row[0] for row in before} == set(SIZES)
    assert {row[1] for row in before} == {"moments", "summarize", "evaluate"}
    assert all("min_customers = 10" in row[3] and "runs: 20" in row[4] for row in before)
    assert league.sql("SELECT COUNT(*) FROM (SELECT 1)").fetchall() == [(1,)]
    league.sql(statement())
    after = league.sql("SHOW EGRESS FOR MODEL g").fetchall()
    sent = {(row[4], row[5]): row[7] for row in after}
    assert sent["alpha", "summarize"] == "count (3,), square (3, 2), sum (3, 2)"
    assert sent["alpha", "describe"] == ""
    assert {row[5] for row in after} == {"describe", "moments", "summarize", "evaluate", "install", "finish"}


def test_rounds_equal_local_training(tmp_path: Path, stores: dict[str, Any]) -> None:
    allowed = 'strategies = ["one_shot", "rounds"]\nexact_rounds = true\nmin_customers = 3'
    with hanse.connect(tmp_path / "w") as session:
        for name in stores:
            file = silo_toml(tmp_path, name, allowed)
            session.sql(f"CREATE SILO {name} OPTIONS (database = '{database(tmp_path, name)}', config = '{file}')")
        session.sql(statement(options=OPTIONS + ", STRATEGY = 'rounds', MIN_CUSTOMERS = 3"))
        rows = np.concatenate(list(stores.values()))
        session.register("pooled", pa.table({"spend": rows[:, 0], "orders": rows[:, 1]}))
        session.sql(
            "CREATE MODEL local TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
            f"OPTIONS ({OPTIONS}, SPLIT_STARTS = 1) AS SELECT spend, orders FROM pooled"
        )
        ours = session.sql("SELECT * FROM model_centroids(g, 1)").fetchall()
        theirs = session.sql("SELECT * FROM model_centroids(local, 1)").fetchall()
        assert np.array(ours) == pytest.approx(np.array(theirs), rel=1e-9, abs=1e-9)


def test_a_refusing_silo_is_named_and_nothing_is_registered(league: Any) -> None:
    with pytest.raises(FederationError) as caught:
        league.sql(statement(options=OPTIONS + ", STRATEGY = 'rounds'"))
    text = str(caught.value)
    assert "quorum missed: 0 of 3 silos take part, need 3" in text
    for name in SIZES:
        assert f"{name}: refused: strategy rounds: this silo allows one_shot" in text
    assert ": ask their owners, or set QUORUM lower; no model was registered" in text
    assert "start those" not in text
    assert league.sql("SHOW MODELS").fetchall() == []


def test_a_small_silo_is_left_out_by_name(league: Any, tmp_path: Path) -> None:
    make_store(database(tmp_path, "tiny"), customers(9, 2))
    league.sql("CREATE SILO tiny OPTIONS (database = $file)", {"file": str(database(tmp_path, "tiny"))})
    result = league.sql(statement(options=OPTIONS + ", QUORUM = 3", silos="alpha, beta, gamma, tiny"))
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("silo tiny took no part: refused: ")
    assert "2" not in result.warnings[0].split("refused: ")[1]  # a reason, never a count
    with pytest.raises(FederationError, match=r"quorum missed: 3 of 4 silos take part, need 4 .tiny: refused"):
        league.sql(statement("h", silos="alpha, beta, gamma, tiny"))


def test_silos_that_differ_are_named_before_training(league: Any, tmp_path: Path) -> None:
    with duckdb.connect(str(database(tmp_path, "beta"))) as connection:
        connection.execute("ALTER TABLE customer_features ALTER orders TYPE INTEGER")
    with pytest.raises(FederationError, match=r"column orders of customer_features is .* at silo beta and"):
        league.sql(statement())
    with duckdb.connect(str(database(tmp_path, "beta"))) as connection:
        connection.execute("ALTER TABLE customer_features DROP orders")
    with pytest.raises(FederationError, match="beta"):
        league.sql(statement())


class _Killed(BaseException):
    """Stands for a coordinator that dies between two rounds."""


@pytest.mark.parametrize("round_", [0, 1, 2])
def test_resume_ends_with_the_same_model(
    league: Any, monkeypatch: pytest.MonkeyPatch, round_: int, tmp_path: Path
) -> None:
    whole = Coordinator.exchange

    def dying(self: Coordinator, kind: Any, **fields: Any) -> Any:
        if self.round == round_:
            raise _Killed
        return whole(self, kind, **fields)

    monkeypatch.setattr(Coordinator, "exchange", dying)
    with pytest.raises(_Killed):
        league.sql(statement("cut"))
    assert league.sql("SHOW MODELS").fetchall() == []
    monkeypatch.setattr(Coordinator, "exchange", whole)
    league.sql("RESUME MODEL cut")
    league.sql(statement("whole"))
    query = "SELECT * FROM model_centroids({}, 1)"
    assert league.sql(query.format("cut")).fetchall() == league.sql(query.format("whole")).fetchall()
    asked = [(row[3], row[4]) for row in league.sql("SHOW EGRESS FOR MODEL cut").fetchall()]
    assert len(asked) == len(set(asked))  # nobody was asked twice
    with pytest.raises(FederationError, match="the last run of model cut is done"):
        league.sql("RESUME MODEL cut")


def test_resume_does_not_mix_replies_of_another_task_in(league: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a change of Hanse, whose next version may ask in another way."""
    exchange, task = Coordinator.exchange, Coordinator._task

    def dying(self: Coordinator, kind: Any, **fields: Any) -> Any:
        if kind == "summarize":
            raise _Killed
        return exchange(self, kind, **fields)

    monkeypatch.setattr(Coordinator, "exchange", dying)
    with pytest.raises(_Killed):
        league.sql(statement("cut"))
    monkeypatch.setattr(Coordinator, "exchange", exchange)
    monkeypatch.setattr(
        Coordinator, "_task", lambda self, *given: msgspec.structs.replace(task(self, *given), min_customers=11)
    )
    with pytest.raises(FederationError, match="round 0 of model cut: silo alpha answered another task"):
        league.sql("RESUME MODEL cut")
    assert league.sql("SHOW MODELS").fetchall() == []


def test_a_model_that_was_dropped_is_not_made_again_to_be_offered(league: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.federation.journal.Journal.silent", lambda *_: ["beta"])
    league.sql(statement())
    league.sql("DROP MODEL g")
    with pytest.raises(FederationError, match="the last run of model g is done, and its model was dropped"):
        league.sql("RESUME MODEL g")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (statement(silos="alpha, zeta"), FederationError, "unknown silo zeta: did you mean beta?"),
        (statement(silos="alpha, ALPHA"), ParseError, "silo ALPHA given twice"),
        (statement(options="MODEL_TYPE = 'lda'"), UnsupportedError, "does not train it yet"),
        (statement(options=OPTIONS + ", STRATEGY = 'private'"), BindError, "need 'one_shot' or 'rounds' or 'article'"),
        (statement(options=OPTIONS + ", QUORUM = 4"), BindError, "QUORUM = 4 of 3 silos"),
        (statement(options=OPTIONS + ", MIN_CUSTOMERS = 2"), BindError, "need 3 or more"),
        (statement(options=OPTIONS + ", WEIGHT_COL = 'spend'"), BindError, "WEIGHT_COL over silos"),
        (statement(query="SELECT spend, orders + 1 AS orders FROM customer_features"), BindError, "is no plain column"),
        (
            statement(query="SELECT spend, orders FROM customer_features WHERE orders > 1"),
            BindError,
            "WHERE in a query",
        ),
        (statement(query="SELECT spend FROM customer_features"), BindError, "unknown column orders"),
        ("CREATE SILO x OPTIONS (file = 'a')", BindError, "unknown option FILE of a silo"),
        ("CREATE SILO x OPTIONS (store = 'a')", BindError, "give database = 'file.duckdb'"),
        ("CREATE SILO alpha OPTIONS (database = 'a')", FederationError, "silo alpha exists already"),
        ("DROP SILO zeta", FederationError, "unknown silo zeta"),
        ("RESUME MODEL nothing", FederationError, "no run of model nothing"),
        ("EXPLAIN EGRESS SELECT 1", ParseError, "CREATE FEDERATED MODEL"),
    ],
)
def test_bad_statements(league: Any, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        league.sql(text)
    assert message in str(caught.value)
    assert "line 1, column" in str(caught.value)
    assert league.sql("SHOW MODELS").fetchall() == []


def test_names_and_silos_are_kept(league: Any, tmp_path: Path) -> None:
    league.sql(statement())
    with pytest.raises(ModelExistsError):
        league.sql(statement())
    assert league.sql(statement().replace("CREATE", "CREATE OR REPLACE")).fetchall()[0][2] == 1
    league.sql("DROP SILO gamma; DROP SILO IF EXISTS gamma")
    assert [row[0] for row in league.sql("SHOW SILOS").fetchall()] == ["alpha", "beta"]
    with pytest.raises(FederationError, match="silo gamma of model g is unknown here"):
        league.sql("SELECT * FROM federated_evaluate(g, 1)")
    league.register("own", pa.table({"spend": [1.0, 2.0], "orders": [1.0, 2.0]}))
    league.sql(
        "CREATE MODEL plain TRANSFORM (vector_assembler(array(spend, orders)) f) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT spend, orders FROM own"
    )
    with pytest.raises(BindError, match="model plain was not trained over silos"):
        league.sql("SELECT * FROM federated_evaluate(plain, 1)")
