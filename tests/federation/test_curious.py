"""A coordinator who keeps to the protocol and wants to know one customer: what the silo answers, or does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from silo_support import Talk, codes, fill, new_run, silo_toml, task

from hanse.errors import UsageError
from hanse.federation.config import SiloConfig
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.clusters import Cluster
from hanse.models.codec import state_to_plain
from hanse.models.ecod_model import Distribution, EcodModel, Tail
from hanse.models.kmeans import KMeans
from hanse.models.kmeans_model import KMeansModel
from hanse.models.logistic_regression import LogisticRegression

ROUNDS = Policy(exact_rounds=True)


def uniform(rows: int) -> Any:
    return np.random.default_rng(1).uniform(20, 60, (rows, 2))


def artifact(model_type: str, features: list[str], model: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "model_type": model_type,
        "options": {},
        "transforms": [],
        "features": features,
        "fields": features,
        "training": {},
        "source_sql": "",
        "row_count": 0,
        "created_at": "1970-01-01T00:00:00+00:00",
        "created_by": "",
        "hanse_version": "0",
        "scoring": {},
        "model": model,
    }


# -- one customer who outweighs all others ----------------------------------------------------


@pytest.mark.parametrize("origin", [0.0, 40.0, -3e6, 1e12])
def test_no_origin_hides_who_dominates(tmp_path: Path, origin: float) -> None:
    """Far from it all squares are alike, and the sum of all of them still gives the largest order to five digits."""
    rows = uniform(40)
    rows[7, 0] = 25_000
    scaler = {"mean": [origin], "deviation": [1.0]}
    with Talk(tmp_path, rows) as talk:
        reply = talk.ask("summarize", features=("x",), payload={"clusters": 1, "scaler": scaler})
        assert codes(reply) == {"dominant"}
        assert reply.statistics == {}


def rare() -> Any:
    """A column that one customer alone has something in."""
    rows = uniform(200)
    rows[:, 0] = 0
    rows[5, 0] = 123.25
    return rows


def starting(estimator: Any) -> dict[str, Any]:
    return {
        "model_type": estimator.model_type,
        "options": {"num_clusters": 2},
        "state": state_to_plain(estimator.start(["f0", "f1"])),
    }


def test_a_column_of_one_customer_does_not_leave_with_others(tmp_path: Path) -> None:
    """Not as sums beside one sum of squares of all columns, and not as sums without any."""
    clusters = tuple(Cluster(np.array(c), 0, 0.0, 0.0) for c in ([0.0, 0.0], [0.0, 1e6]))
    model = KMeansModel(("x", "y"), clusters, np.zeros(2), "euclidean", "p").to_json()
    with Talk(tmp_path, rare(), ROUNDS) as talk:
        for reply in (
            talk.ask("moments"),
            talk.ask("summarize", payload={"clusters": 1}),
            talk.ask("evaluate", payload={"artifact": artifact("kmeans", ["x", "y"], model)}),
            talk.ask("observe", strategy="rounds", **starting(BisectingKMeans(num_clusters=2))),
            talk.ask("observe", strategy="rounds", **starting(KMeans(num_clusters=2))),
        ):
            assert codes(reply) == {"dominant"}
            assert reply.statistics == {}


def test_a_line_that_one_customer_alone_is_beyond_does_not_leave(tmp_path: Path) -> None:
    """With coefficients as large as these all residuals are 0 but one, and the gradient is that customer."""
    rows = np.random.default_rng(1).normal(50, 5, (400, 2))
    rows[200:, 0] += 100
    rows[11] = 300.25, 77.5
    label = (np.arange(400) >= 200).astype(float)
    start = LogisticRegression(label="z").start(["f0", "f1"])
    with Talk(tmp_path, rows, ROUNDS, z=label) as talk:
        for tried, left in (([0.0, 0.001, 0.001], True), ([-1e8, 1e6, 0.0], False)):
            state = state_to_plain(replace(start, phase="step", tried=np.array(tried)))
            reply = talk.ask(
                "observe", strategy="rounds", model_type="logistic_reg", options={"label": "z"}, state=state
            )
            assert codes(reply) == (set() if left else {"dominant"})
            assert bool(reply.statistics) is left


def test_a_column_of_zeros_and_ones_is_no_filter(tmp_path: Path) -> None:
    only = np.zeros(500)
    only[3] = 1
    estimator = BisectingKMeans(num_clusters=2, weight_col="z")
    asked = starting(estimator) | {"options": {"num_clusters": 2, "weight_col": "z"}}
    with Talk(tmp_path, uniform(500), ROUNDS, z=only) as talk:
        reply = talk.ask("observe", strategy="rounds", **asked)
        assert codes(reply) == {"protocol"}
        assert "weight_col" in reply.message


# -- a function of the coordinator's own ------------------------------------------------------


def steps() -> EcodModel:
    """Scores that count who is above 50, and above 500 give the value away in digits that nobody looks at."""
    height = np.array([0, 1e-13, 1, 1 + 1e-13, 1 + 9500e-6])
    suffix = np.exp(-height)
    shares = np.append(-np.diff(suffix), suffix[-1])
    shares[0] += 1
    knots = np.array([0, 50, 50 + 1e-9, 500, 10_000])
    return EcodModel(("x",), (Distribution(0.0, knots, shares, 1.0, Tail(0, 1e300), Tail(10_000, 1e300)),), 1, 1.0)


def test_a_model_of_a_type_that_the_policy_does_not_allow_is_not_evaluated(tmp_path: Path) -> None:
    payload = {"artifact": artifact("ecod", ["x"], steps().to_json())}
    with Talk(tmp_path, uniform(200)) as talk:
        for more in ({}, {"phase": "scores"}):
            reply = talk.ask("evaluate", features=("x",), payload=payload | more)
            assert codes(reply) == {"policy"}
            assert "model type ecod: this silo allows bisecting_kmeans" in reply.message


# -- the same rows under another name, or a little later --------------------------------------


def test_a_database_without_stores_is_not_one_silo_for_every_name(tmp_path: Path) -> None:
    with Talk(tmp_path, uniform(60)) as talk:
        assert talk.ask("moments").status == "ok"
        reply = talk.ask("moments", silo="shop/any", run=new_run())
        assert codes(reply) == {"silo"}
        assert "features has no stores here: ask shop" in reply.message


def test_a_relation_is_not_published_as_a_whole_and_by_stores(tmp_path: Path) -> None:
    """The whole without the stores that may leave would be the one that may not."""
    publish = "".join(
        f'[publish.{name}]\nrelation = "{relation}"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n{store}\n'
        for name, relation, store in (("whole", "features", ""), ("stores", "Features", 'store = "store"'))
    )
    with pytest.raises(
        UsageError, match=r"\[publish.whole\] and \[publish.stores\] are both relation Features.*keep one"
    ):
        SiloConfig.load(silo_toml(tmp_path, "", publish))


def test_a_column_that_changes_for_everybody_does_not_hide_one_that_changes_for_few(tmp_path: Path) -> None:
    rows = uniform(300)
    with Talk(tmp_path, rows) as talk:
        first = talk.ask("moments", features=("x",), run=new_run())
        assert first.status == "ok"
        later = np.add(rows, [0, 1])
        later[42, 0] += 1
        fill(talk.database, later)
        again = talk.ask("moments", features=("x",), run=new_run())
        assert again.statistics == first.statistics
        assert codes(again) == {"unchanged"}
        later[:12, 0] += 1
        fill(talk.database, later)
        new = talk.ask("moments", features=("x",), run=new_run())
        assert codes(new) == set()
        assert new.statistics != first.statistics


def test_a_store_of_few_customers_says_no_more_than_one_that_is_not_there(tmp_path: Path) -> None:
    rows = uniform(64)
    rows[62, 0] = np.nan
    fill(tmp_path / "shop.duckdb", rows, store=["north"] * 60 + ["tiny"] * 4)
    publish = '[publish.s]\nrelation = "features"\ncustomer = "customer_id"\nstore = "store"\ncolumns = ["x", "y"]\n'
    with Silo(SiloConfig.load(silo_toml(tmp_path, "", publish))) as silo:
        tiny, none = (
            silo.answer(task("describe", new_run(), silo=f"shop/{store}", relation="s")) for store in ("tiny", "none")
        )
    assert codes(tiny) == codes(none) == {"small"}
    assert tiny.message.replace("tiny", "none") == none.message
