"""mahalanobis and ecod over silos: `rounds` is the model of the pooled rows; what it cannot be is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import hanse
from hanse.errors import BindError, FederationError

TYPES = ("mahalanobis", "ecod")
every_type = pytest.mark.parametrize("model_type", TYPES)

POLICY = """
min_changed_customers = 0
exact_rounds = true
cells_per_day = 100000
runs_per_day = 1000
dominance_percent = 60
strategies = ["one_shot", "rounds"]
model_types = ["mahalanobis", "ecod"]
install = "auto"
"""
COLUMNS = ("spend", "orders", "recency")


class League:
    """A session and silos in its process, each with a database and a policy of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, Any] = {}
        self.session = hanse.connect(folder / "workspace")

    def add(self, name: str, rows: Any, policy: str = POLICY) -> None:
        """A silo that publishes these rows."""
        folder = self.folder / name
        folder.mkdir()
        table = pa.table(
            {"customer_id": [f"{name}{i}" for i in range(len(rows))], **dict(zip(COLUMNS, rows.T, strict=True))}
        )
        with duckdb.connect(str(folder / "shop.duckdb")) as connection:
            connection.register("given", table)
            connection.execute("CREATE TABLE features AS SELECT * FROM given")
        (folder / "silo.toml").write_text(
            f'name = "{name}"\ndatabase = "shop.duckdb"\n[publish.features]\nrelation = "features"\n'
            f'customer = "customer_id"\ncolumns = ["spend", "orders", "recency"]\n[policy]\n{policy}'
        )
        self.session.sql(
            f"CREATE SILO {name} OPTIONS (database = '{folder}/shop.duckdb', config = '{folder}/silo.toml')"
        )
        self.rows[name] = rows

    def train(self, options: str, model: str = "usual") -> Any:
        return self.session.sql(
            f"CREATE FEDERATED MODEL {model} OPTIONS ({options}, MIN_CUSTOMERS = 10) "
            f"OVER SILOS ({', '.join(self.rows)}) AS SELECT spend, orders, recency FROM features"
        )

    def pooled(self, options: str) -> None:
        """A model of all rows in one table, ``pooled``; the rows are the table ``pool``."""
        rows = np.concatenate(list(self.rows.values()))
        self.session.register("pool", pa.table(dict(zip(COLUMNS, rows.T, strict=True))))
        self.session.sql(f"CREATE MODEL pooled OPTIONS ({options}) AS SELECT * FROM pool")

    def scores(self, model: str) -> Any:
        """Of the pooled rows, sorted by them."""
        found = self.session.sql(
            f"SELECT anomaly_score FROM model_predict({model}, 1, SELECT * FROM pool) ORDER BY spend, orders, recency"
        ).fetchall()
        return np.array([score for (score,) in found])


@pytest.fixture
def league(tmp_path: Path) -> Iterator[League]:
    made = League(tmp_path)
    for number, size in enumerate((300, 200, 500)):
        random = np.random.default_rng(number)
        spend, orders, recency = random.normal(size=size), random.normal(size=size), random.normal(size=size)
        rows = np.column_stack([40 * spend + 5 * number, 0.5 * spend + orders, recency * 30 + 1e4])
        made.add("abc"[number], rows)
    yield made
    made.session.close()


def test_mahalanobis_in_rounds_is_the_pooled_model(league: League) -> None:
    """Over silos no row is left out, whatever TRIM says."""
    league.train("MODEL_TYPE = 'mahalanobis', STRATEGY = 'rounds'")
    league.pooled("MODEL_TYPE = 'mahalanobis', TRIM = 0")
    np.testing.assert_allclose(league.scores("usual"), league.scores("pooled"), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("MODEL_TYPE = 'mahalanobis', TRIM = 0.2", "TRIM = 0.2 counts as 0.0 with STRATEGY = 'rounds'"),
        ("MODEL_TYPE = 'ecod', NUM_BINS = 40", "NUM_BINS = 40 counts as 16 with STRATEGY = 'rounds'"),
        ("MODEL_TYPE = 'mahalanobis', TRIM = 0", ""),
        ("MODEL_TYPE = 'ecod'", ""),
    ],
)
def test_an_option_that_rounds_cannot_follow_is_told(league: League, options: str, told: str) -> None:
    warnings = league.train(f"{options}, STRATEGY = 'rounds'").warnings
    found = [warning for warning in warnings if "counts as" in warning]
    assert [warning.partition(":")[0] for warning in found] == ([told] if told else [])


def test_ecod_in_rounds_is_near_the_pooled_model(league: League) -> None:
    """Bins that are too small to leave are counted in others, so that tails begin further in."""
    league.train("MODEL_TYPE = 'ecod', STRATEGY = 'rounds'")
    league.pooled("MODEL_TYPE = 'ecod', NUM_BINS = 16")
    found, expected = league.scores("usual"), league.scores("pooled")
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert abs(np.median(found / expected) - 1) < 0.1


@every_type
@pytest.mark.parametrize("contamination", [0.3, 0.1])
def test_a_share_of_all_silos_rows_is_a_threshold(league: League, model_type: str, contamination: float) -> None:
    """Within a few in a hundred, for the silos tell scores by cells."""
    told = league.train(f"MODEL_TYPE = '{model_type}', STRATEGY = 'rounds'").warnings
    assert not [warning for warning in told if "quantiles" in warning]
    league.session.register(
        "pool", pa.table(dict(zip(COLUMNS, np.concatenate(list(league.rows.values())).T, strict=True)))
    )
    found = league.session.sql(
        f"SELECT is_anomaly FROM detect_anomalies(usual, 1, SELECT * FROM pool, contamination => {contamination})"
    ).df()
    assert found["is_anomaly"].mean() == pytest.approx(contamination, rel=0.25, abs=0.015)


@every_type
def test_one_shot_is_refused_with_the_cure(league: League, model_type: str) -> None:
    with pytest.raises(
        BindError, match=f"STRATEGY = 'one_shot' with MODEL_TYPE = '{model_type}'.*use STRATEGY = 'rounds'"
    ):
        league.train(f"MODEL_TYPE = '{model_type}'")


@every_type
def test_a_silo_whose_policy_does_not_name_the_type_refuses(league: League, model_type: str) -> None:
    random = np.random.default_rng(9)
    league.add("strict", random.normal(size=(100, 3)), POLICY.replace(f'"{model_type}"', '"kmeans"'))
    with pytest.raises(FederationError, match="strict"):
        league.train(f"MODEL_TYPE = '{model_type}', STRATEGY = 'rounds'")


@every_type
def test_anomalies_are_found_with_a_model_of_all_silos(league: League, model_type: str) -> None:
    league.train(f"MODEL_TYPE = '{model_type}', STRATEGY = 'rounds'")
    found = league.session.sql(
        "SELECT is_anomaly FROM detect_anomalies(usual, 1, "
        "SELECT 0.0 AS spend, 0.0 AS orders, 10000.0 AS recency "
        "UNION ALL SELECT 900.0 AS spend, 0.0 AS orders, 10000.0 AS recency, threshold => 3.0) ORDER BY anomaly_score"
    ).fetchall()
    assert found == [(False,), (True,)]
