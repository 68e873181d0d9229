"""ecod where silos' gates join most of a feature's bins: the model can be read, and a feature that is lost is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm
from silo_support import blobs, fill, silo_toml

import hanse
from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.errors import ArtifactError, FederationError
from hanse.models.ecod import Ecod, EcodState, Histogram
from hanse.models.ecod_model import Distribution, EcodModel, Tail

POLICY = (
    'strategies = ["rounds"]\nexact_rounds = true\ninstall = "auto"\nruns_per_day = 1000\ncells_per_day = 100000\n'
    'model_types = ["ecod"]'
)


def league(folder: Path, silos: str, seed: int) -> hanse.Session:
    """Silos of 100 customers each."""
    session = hanse.connect()
    for number, name in enumerate(silos):
        (folder / name).mkdir()
        fill(folder / name / "shop.duckdb", blobs([60, 40], seed=seed + number))
        session.sql(f"CREATE SILO {name} OPTIONS (config = '{silo_toml(folder / name, POLICY, name=name)}')")
    return session


def training(silos: str, options: str = "") -> str:
    return (
        f"CREATE FEDERATED MODEL g OPTIONS (MODEL_TYPE = 'ecod', STRATEGY = 'rounds'{options}) "
        f"OVER SILOS ({', '.join(silos)}) AS SELECT x, y FROM features"
    )


@pytest.mark.parametrize("silos", ["ab", "abc"])
@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("options", ["", ", NUM_BINS = 8", ", NUM_BINS = 4", ", MAX_ITER = 1"])
def test_few_customers_give_a_model_that_can_be_read(tmp_path: Path, silos: str, seed: int, options: str) -> None:
    with league(tmp_path, silos, seed) as session:
        warnings = session.sql(training(silos, options)).warnings
        far = "SELECT 500.0 AS x, 500.0 AS y UNION ALL SELECT -500.0, -500.0"
        scores = [row[-1] for row in session.sql(f"SELECT * FROM model_predict(g, 1, {far})").fetchall()]
        model = session.registry.load("g")[1].model
    constant = [name for name, d in zip("xy", model["distributions"], strict=True) if len(d["means"]) == 1]
    told = [w.split()[1] for w in warnings if "varies, but the silos' gates joined all its bins" in w]
    assert told == constant
    assert not [w for w in warnings if "cannot be read" in w or "did not take" in w]
    assert min(scores) > 1 or len(constant) == 2
    assert not (options == ", MAX_ITER = 1" and constant)


def test_all_features_lost_is_no_secret(tmp_path: Path) -> None:
    with league(tmp_path, "abc", 0) as session:
        warnings = session.sql(training("abc")).warnings
    for name in "xy":
        (told,) = [w for w in warnings if w.startswith(f"feature {name} varies")]
        assert "set MAX_ITER = 1 or NUM_BINS lower" in told


def of_two_bins() -> tuple[EcodModel, float]:
    """A model of two bins with rows to both sides of the edge; and the share of rows in the lower one."""
    random = np.random.default_rng(3)
    low, high = -random.exponential(2.0, 300), random.exponential(1.0, 100)
    sums = [np.array([low.sum(), high.sum()]), np.array([(low**2).sum(), (high**2).sum()])]
    count = np.array([300.0, 100.0])
    bins = Histogram(np.array([0.0]), count, count, *sums, rounds=1, settled=True)
    state = EcodState(("x",), "done", np.zeros(1), 400.0, 400.0, np.ones(1), histograms=(bins,))
    assert Ecod().flattened(state) == ()
    return Ecod().model(state), 0.75


def asked(model: EcodModel, values: Any) -> tuple[Any, Any]:
    """Distances and signed normal scores of values."""
    engine = DuckDB(threads=1)
    try:
        engine.register("asked", pa.table({"x": np.asarray(values, dtype=np.float64), "id": np.arange(len(values))}))
        wanted = model.scores([e.column("x")])["distance"], model.contributions([e.column("x")])["x"]
        listed = ", ".join(engine.text(value) for value in wanted)
        return tuple(np.array(engine.rows(f"SELECT {listed} FROM asked ORDER BY id"), dtype=np.float64).T)
    finally:
        engine.close()


def test_two_tails_may_begin_at_one_edge() -> None:
    model, below = of_two_bins()
    (distribution,) = model.distributions
    assert distribution.lower.start == distribution.upper.start == 0.0
    again = EcodModel.from_json(model.to_json())
    assert again.to_json() == model.to_json()
    distance, normal = asked(again, [0.0])
    assert distance[0] == pytest.approx(-np.log(1 - below))
    assert normal[0] == pytest.approx(norm.ppf(below))
    distance, normal = asked(again, np.linspace(-20, 10, 301))
    assert np.all(np.diff(normal) >= 0)
    assert distance[-1] > 5
    assert normal[0] < -3 < 3 < normal[-1]


def test_of_more_bins_tails_begin_apart() -> None:
    means, shares, tail = np.array([-1.0, 0.0, 1.0]), np.array([0.25, 0.5, 0.25]), Tail(0.5, 1.0)
    model = EcodModel(("x",), (Distribution(0.0, means, shares, 0.0, tail, tail),), 100, 100.0)
    with pytest.raises(ArtifactError, match="need ascending numbers"):
        EcodModel.from_json(model.to_json())


def test_a_model_that_cannot_be_read_is_not_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = EcodModel.to_json
    monkeypatch.setattr(EcodModel, "to_json", lambda self: {**true(self), "count": None})
    with league(tmp_path, "ab", 0) as session:
        message = "what was trained over silos a, b is no model that can be read: ecod model: .*no model was registered"
        with pytest.raises(FederationError, match=message):
            session.sql(training("ab"))
        assert session.sql("SHOW MODELS").fetchall() == []
        assert {row[5] for row in session.sql("SHOW EGRESS").fetchall()} == {"describe", "observe", "finish"}
        run = session.federation.journal.last_run("g")
        assert run is not None
        assert run.status == "failed"
