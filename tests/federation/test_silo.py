"""The silo's agent: each kind of task against a referee, the policy, budgets, stores, and crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from silo_support import FEATURES, Talk, blobs, codes, fill, new_run, silo_toml, task

import hanse
from hanse.federation.audit import entries_of, verify
from hanse.federation.config import SiloConfig
from hanse.federation.install import Installer, stripped
from hanse.federation.ledger import Ledger
from hanse.federation.policy import Policy
from hanse.federation.refusals import CODES
from hanse.federation.silo import Silo
from hanse.messages import Reply, decode, encode, task_hash
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.codec import state_to_plain
from hanse.registry import Registry
from hanse.statistics import Statistics

OPEN = Policy(
    exact_rounds=True,
    strategies=("one_shot", "article"),
    min_changed_customers=0,
    dominance_percent=100,
    runs_per_day=1000,
    cells_per_day=10_000,
    install="auto",
)
SCALER = {"mean": [1.0, -2.0], "deviation": [2.0, 4.0]}


def scaled(rows: Any) -> Any:
    return (rows - SCALER["mean"]) / SCALER["deviation"]


# -- each kind --------------------------------------------------------------------------------


def test_describe_tells_columns_policy_and_what_is_left(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        reply = talk.ask("describe")
        assert reply.facts["columns"] == {"x": "DOUBLE", "y": "DOUBLE"}
        assert reply.facts["policy"]["left"] == {"runs": 20, "cells": 1000}
        assert reply.statistics == {}
        talk.ask("moments")
        left = talk.ask("describe", run=new_run()).facts["policy"]["left"]
        assert left == {"runs": 19, "cells": 999}


def test_moments_are_numpys_also_far_from_zero(tmp_path: Path) -> None:
    rows = blobs([500]) + np.array([1e6, -1e9])
    with Talk(tmp_path, rows) as talk:
        found = talk.ask("moments").statistics
    assert found["count"] == 500.0
    assert found["mean"] == pytest.approx(rows.mean(axis=0), rel=1e-14)
    assert found["m2"] == pytest.approx(((rows - rows.mean(axis=0)) ** 2).sum(axis=0), rel=1e-9)


def test_summaries_add_up_to_the_whole_in_scaled_units(tmp_path: Path) -> None:
    rows = blobs([100, 60, 4])
    with Talk(tmp_path, rows) as talk:
        reply = talk.ask("summarize", payload={"scaler": SCALER, "clusters": 3})
    whole = scaled(rows)
    assert sorted(reply.statistics["count"]) == [47.0, 53.0, 64.0], "the four are with the sixty, and a cluster is won"
    assert np.sum(reply.statistics["sum"], axis=0) == pytest.approx(whole.sum(axis=0))
    assert np.sum(reply.statistics["square"], axis=0) == pytest.approx((whole**2).sum(axis=0))
    (reason,) = reply.reasons
    assert reason.code == "merged"
    assert len(reason.cells) == 4
    assert sorted(set(reason.cells)) == [0, 1, 2]


def test_the_article_takes_means_alone(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([100, 60]), OPEN) as talk:
        both = [talk.ask("summarize", strategy=s, payload={"clusters": 2}) for s in ("article", "one_shot")]
    assert list(both[0].statistics) == ["mean"]
    expected = np.asarray(both[1].statistics["sum"]) / np.asarray(both[1].statistics["count"])[:, None]
    assert both[0].statistics["mean"] == pytest.approx(expected)


def test_a_scaler_with_a_constant_feature(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        reply = talk.ask("summarize", payload={"scaler": {"mean": [0, 0], "deviation": [1, 0]}, "clusters": 1})
        assert reply.statistics["sum"][0][1] == 0.0


def train(talk: Talk, estimator: BisectingKMeans, payload: dict[str, Any] | None = None) -> Any:
    state = estimator.start(FEATURES)
    options = {"num_clusters": estimator.num_clusters, "split_starts": 1}
    while not estimator.done(state):
        observation = estimator.observe(state)
        reply = talk.ask(
            "observe", strategy="rounds", options=options, state=state_to_plain(state), payload=payload or {}
        )
        assert reply.status == "ok", reply
        assert reply.reasons == ()
        total = Statistics({name: np.asarray(value) for name, value in reply.statistics.items()})
        for name in observation.aggregates:
            assert total[name].shape == observation.shape(name)
        state = estimator.advance(state, total)
    return estimator.model(state)


def test_rounds_over_the_agent_are_local_training(tmp_path: Path, session: hanse.Session) -> None:
    rows = blobs([60, 40, 30])
    with Talk(tmp_path, rows, OPEN) as talk:
        model = train(talk, BisectingKMeans(num_clusters=3, split_starts=1))
    fill(tmp_path / "pooled.duckdb", rows)
    session.engine.execute(f"ATTACH '{tmp_path / 'pooled.duckdb'}' AS pooled (READ_ONLY)")
    session.sql(
        "CREATE MODEL g TRANSFORM (vector_assembler(array(x, y)) features) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', "
        "NUM_CLUSTERS = 3, SPLIT_STARTS = 1) AS SELECT x, y FROM pooled.features"
    )
    local = session.registry.load("g")[1].model
    for ours, theirs in zip(model.clusters, local["clusters"], strict=True):
        assert ours.centroid == pytest.approx(theirs["centroid"], rel=1e-9)
        assert (ours.count, ours.inertia) == (theirs["count"], pytest.approx(theirs["inertia"], rel=1e-9))


def test_customers_with_several_rows_train_alike(tmp_path: Path) -> None:
    rows = blobs([60, 60])
    with Talk(tmp_path, rows, OPEN, customers=[i // 2 for i in range(120)]) as talk:
        model = train(talk, BisectingKMeans(num_clusters=2, split_starts=1))
    assert [c.count for c in model.clusters] == [60, 60]


def artifact(session: hanse.Session, rows: Any, clusters: int = 3, scale: bool = False) -> Any:
    import pyarrow as pa

    session.register("given", pa.table({"x": rows[:, 0], "y": rows[:, 1]}))
    steps = "vector_assembler(array(x, y)) v, standard_scaler(v, true, true) features" if scale else ""
    steps = steps or "vector_assembler(array(x, y)) features"
    session.sql(
        f"CREATE OR REPLACE MODEL g TRANSFORM ({steps}) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', "
        f"NUM_CLUSTERS = {clusters}) AS SELECT x, y FROM given"
    )
    return session.registry.load("g")[1]


def plain(model: Any) -> Any:
    return json.loads(stripped(model).to_json())


@pytest.mark.parametrize("scale", [False, True])
def test_an_evaluation_is_model_evaluate(tmp_path: Path, session: hanse.Session, scale: bool) -> None:
    from hanse.metrics.clustering import metrics_of, sums_of

    rows = blobs([60, 40, 30])
    model = artifact(session, rows, scale=scale)
    expected = session.sql("SELECT * FROM model_evaluate(g, 1, SELECT x, y FROM given)").arrow().to_pylist()[0]
    with Talk(tmp_path, rows, OPEN) as talk:
        first = talk.ask("evaluate", payload={"artifact": plain(model), "phase": 1})
        assert first.status == "ok", first
        sums = {name: first.statistics[name] for name in ("count", "sum", "square")}
        second = talk.ask("evaluate", payload={"artifact": plain(model), "phase": 2, "sums": sums})
        assert second.status == "ok", second
    origins = np.array([c["centroid"] for c in model.model["clusters"]])
    one = Statistics({name: np.asarray(value) for name, value in first.statistics.items()})
    two = Statistics({name: np.asarray(value) for name, value in second.statistics.items()})
    found = metrics_of(sums_of(origins, one), two)
    assert found.silhouette == pytest.approx(expected["silhouette"], rel=1e-9)
    assert found.davies_bouldin == pytest.approx(expected["davies_bouldin"], rel=1e-9)
    assert found.inertia == pytest.approx(expected["inertia"], rel=1e-9)
    assert found.rows == 130


def test_a_small_cluster_is_evaluated_with_its_nearest_in_both_phases(tmp_path: Path, session: hanse.Session) -> None:
    rows = blobs([60, 40, 4])
    model = artifact(session, rows)
    with Talk(tmp_path, rows, OPEN) as talk:
        first = talk.ask("evaluate", payload={"artifact": plain(model), "phase": 1})
        assert codes(first) == {"merged"}
        assert sorted(first.statistics["count"]) == [0.0, 44.0, 60.0]
        sums = {name: first.statistics[name] for name in ("count", "sum", "square")}
        second = talk.ask("evaluate", payload={"artifact": plain(model), "phase": 2, "sums": sums})
        assert len(second.statistics["distance"]) == 2
        count, sums_, squares = (np.asarray(first.statistics[n]) for n in ("count", "sum", "square"))
        inertia = (squares - (sums_**2).sum(axis=1) / np.maximum(count, 1)).sum()
        assert second.statistics["inertia"] == pytest.approx(inertia), "phase 2 tells nothing new of the small cluster"


def test_a_comparison_counts_rows_by_both_labels(tmp_path: Path, session: hanse.Session) -> None:
    rows = blobs([60, 40, 30])
    ours, theirs = plain(artifact(session, rows, 3)), plain(artifact(session, rows, 2))
    with Talk(tmp_path, rows, OPEN) as talk:
        reply = talk.ask("compare", payload={"local": ours, "artifact": theirs})
    table = np.asarray(reply.statistics["contingency"])
    assert table.shape == (3, 2)
    assert table.sum() == 130
    assert sorted(table[table > 0]) == [30, 40, 60]


def test_a_model_is_installed_by_the_policy_and_never_over_a_local_one(tmp_path: Path, session: hanse.Session) -> None:
    model = plain(artifact(session, blobs([30, 30])))
    with Talk(tmp_path, blobs([40])) as talk:
        assert talk.ask("install", payload={"name": "league.g", "artifact": model}).facts["installed"] is True
        with Registry.open(talk.config.registry) as registry:
            assert registry.load("league.g")[1].source_sql == ""
            registry.create("league.local", registry.load("league.g")[1])
        changed = {**model, "created_at": "2026-01-01T00:00:00+00:00"}
        assert talk.ask("install", payload={"name": "league.g", "artifact": changed}).facts["installed"] is True
        refused = talk.ask("install", payload={"name": "league.local", "artifact": changed})
        assert (refused.status, codes(refused)) == ("refused", {"policy"})
        with Registry.open(talk.config.registry) as registry:
            assert registry.info("league.g").version == 2
            assert registry.info("league.local").version == 1
        for name in ("g", "../g", "league.g;", "league.", 3):
            assert codes(talk.ask("install", payload={"name": name, "artifact": model})) == {"protocol"}


def test_an_installed_model_predicts_on_the_silos_own_rows(tmp_path: Path, session: hanse.Session) -> None:
    rows = blobs([30, 30])
    model = plain(artifact(session, rows, 2))
    workspace = tmp_path / "shop"
    workspace.mkdir()
    fill(workspace / "warehouse.duckdb", rows)
    with Silo.embedded(workspace / "warehouse.duckdb", name="shop") as silo:
        silo.answer(task("install", new_run(), payload={"name": "league.g", "artifact": model}))
    with hanse.connect(workspace) as store:
        found = store.sql("SELECT prediction FROM model_predict(`league.g`, 1, SELECT x, y FROM features)").arrow()
    assert sorted(np.bincount(found["prediction"].to_numpy())) == [30, 30]


def test_an_owner_who_wants_to_be_asked_is_asked(tmp_path: Path, session: hanse.Session) -> None:
    model = plain(artifact(session, blobs([30, 30])))
    with Talk(tmp_path, blobs([40]), Policy()) as talk:
        facts = talk.ask("install", payload={"name": "league.g", "artifact": model}).facts
        assert facts == {"installed": False, "pending": True, "name": "league.g"}
        installer = Installer(talk.config)
        assert installer.waiting() == ["league.g"]
        installer.accept("league.g")
        assert installer.waiting() == []
        with Registry.open(talk.config.registry) as registry:
            assert registry.exists("league.g")
    with Talk(tmp_path, blobs([40]), Policy(install="never")) as talk:
        assert codes(talk.ask("install", payload={"name": "league.h", "artifact": model})) == {"policy"}


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"rounds": 3}},
        {"source_sql": "SELECT 1"},
        {"row_count": 7},
        {"extra": 1},
        {"model_type": "unheard_of"},
        {"model": {}},
    ],
)
def test_an_artifact_that_says_too_much_or_cannot_be_read_is_refused(
    tmp_path: Path, session: hanse.Session, change: dict[str, Any]
) -> None:
    model = plain(artifact(session, blobs([30, 30])))
    with Talk(tmp_path, blobs([40])) as talk:
        reply = talk.ask("install", payload={"name": "league.g", "artifact": {**model, **change}})
        assert (reply.status, codes(reply)) == ("refused", {"artifact"})


# -- the policy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("moments", {"strategy": "article"}, "policy"),
        ("moments", {"strategy": "rounds"}, "policy"),
        ("observe", {"strategy": "one_shot"}, "policy"),
        ("summarize", {"payload": {"clusters": 17}}, "policy"),
        ("summarize", {"payload": {"clusters": 0}}, "protocol"),
        ("summarize", {"payload": {"clusters": "3"}}, "protocol"),
        ("summarize", {"payload": {"clusters": 2, "scaler": {"mean": [1], "deviation": [1]}}}, "protocol"),
        ("moments", {"model_type": "linear_reg"}, "policy"),
        ("moments", {"relation": "secrets"}, "schema"),
        ("moments", {"features": ("x", "nope")}, "schema"),
        ("moments", {"features": ("customer_id",)}, "schema"),
        ("moments", {"features": ("x", "X")}, "protocol"),
        ("moments", {"features": ()}, "protocol"),
        ("moments", {"silo": "other"}, "silo"),
        ("moments", {"expires_at": 1.0}, "expired"),
        ("moments", {"protocol": 2}, "protocol"),
        ("moments", {"min_customers": 41}, "small"),
        ("evaluate", {"payload": {"artifact": {}}}, "artifact"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused_with_a_code_and_ledgered(
    tmp_path: Path, kind: Any, fields: dict[str, Any], code: str
) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        reply = talk.ask(kind, **fields)
        assert (reply.status, codes(reply)) == ("refused", {code})
        assert reply.statistics == {}
        assert reply.message
        entry = talk.silo.ledger.entries[-1]
        assert (entry.decision, entry.reasons) == ("refused", (code,))
        assert reply.ledger_head == talk.silo.ledger.head
        assert code in CODES


@pytest.mark.parametrize(
    "change",
    [
        {"tree": [{"sides": [0, 0]}]},
        {"features": ["x"]},
        {"phase": "nonsense"},
        {"origin": [0.0]},
        {"surplus": 1},
        {"origin": "x"},
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        state = {**state_to_plain(BisectingKMeans().start(FEATURES)), **change}
        reply = talk.ask("observe", strategy="rounds", state=state)
        assert reply.status != "ok"
        assert talk.ask("moments").status == "ok"


def test_a_sketch_has_too_many_cells_to_leave(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        estimator = BisectingKMeans()
        state = estimator.start(FEATURES)
        while state.phase != "cells":
            reply = talk.ask("observe", strategy="rounds", state=state_to_plain(state))
            state = estimator.advance(state, Statistics({n: np.asarray(v) for n, v in reply.statistics.items()}))
        reply = talk.ask("observe", strategy="rounds", state=state_to_plain(state))
        assert codes(reply) == {"policy"}
        assert "SPLIT_STARTS = 1" in reply.message


def test_a_leaf_whose_sibling_was_merged_away_is_not_observed_alone(tmp_path: Path) -> None:
    """Both sides of a split were released as one, for one is small: the other side alone would show it."""
    rows = blobs([40, 4])
    with Talk(tmp_path, rows, OPEN) as talk:
        estimator = BisectingKMeans(num_clusters=3, split_starts=1)
        start = estimator.start(FEATURES)
        node = {"count": 44.0, "weight": 44.0, "sums": [0.0, 0.0], "squares": 1.0}
        split = {**node, "pair": [[0.0, 0.0], [10.0, -10.0]], "sides": [1, 2], "settled": False, "tried": True}
        step = {**state_to_plain(start), "phase": "step", "tree": [split, {}, {}]}
        reply = talk.ask("observe", strategy="rounds", state=step)
        assert codes(reply) == {"merged"}
        assert sorted(reply.statistics["count"]) == [0.0, 44.0]
        spread = {**step, "phase": "spread", "tree": [{**split, "settled": True}, node, node], "opening": [1]}
        assert codes(talk.ask("observe", strategy="rounds", state=spread)) == {"complementary"}


def test_one_customer_may_not_dominate(tmp_path: Path) -> None:
    rows = blobs([40])
    rows[0, 0] = 1000.0
    with Talk(tmp_path, rows) as talk:
        reply = talk.ask("moments")
        assert (reply.status, codes(reply)) == ("refused", {"dominant"})
        assert "1000" not in encode(reply).decode()
    with Talk(tmp_path, rows, Policy(dominance_percent=100)) as talk:
        assert talk.ask("moments").status == "ok"


# -- the same plan, budgets -------------------------------------------------------------------


def test_the_same_plan_over_barely_changed_data_gets_the_same_answer(tmp_path: Path) -> None:
    rows = blobs([60, 40])
    with Talk(tmp_path, rows) as talk:
        first = talk.ask("moments")
        talk.ask("finish")
        fill(talk.database, np.concatenate([rows, blobs([9], seed=5)]))
        run = new_run()
        again = talk.ask("moments", run=run)
        assert again.statistics == first.statistics
        assert codes(again) == {"unchanged"}
        assert again.fingerprint == first.fingerprint
        assert talk.silo.ledger.entries[-1].decision == "repeated"
        other = talk.ask("summarize", run=run, payload={"clusters": 2})
        assert codes(other) == {"complementary"}, "another plan would show the nine by subtraction"
        fill(talk.database, np.concatenate([rows, blobs([10], seed=5)]))
        new = talk.ask("moments", run=new_run())
        assert (new.statistics["count"], codes(new)) == (110.0, set())


def test_customers_who_changed_count_as_those_who_came_or_left(tmp_path: Path) -> None:
    rows = blobs([60, 40])
    with Talk(tmp_path, rows) as talk:
        talk.ask("moments")
        changed = rows.copy()
        changed[:5] += 1.0
        fill(talk.database, changed[:-4])
        assert codes(talk.ask("moments", run=new_run())) == {"unchanged"}
        changed[:6] += 1.0
        fill(talk.database, changed[:-4])
        assert talk.ask("moments", run=new_run()).statistics["count"] == 96.0


def test_a_repeated_plan_costs_nothing(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), Policy(runs_per_day=1, cells_per_day=2)) as talk:
        first = talk.ask("moments")
        assert talk.ask("moments", run=new_run()).statistics == first.statistics
        assert codes(talk.ask("summarize", run=new_run(), payload={"clusters": 1})) == {"budget"}
        assert talk.ask("summarize", payload={"clusters": 1}).status == "ok"
        assert codes(talk.ask("moments", features=("x",))) == {"budget"}
        assert talk.ask("describe", run=new_run()).facts["policy"]["left"] == {"runs": 0, "cells": 0}


def test_budgets_survive_a_restart_and_another_name(tmp_path: Path) -> None:
    policy = Policy(cells_per_day=1)
    with Talk(tmp_path, blobs([40]), policy) as talk:
        talk.ask("moments")
        talk.reopen()
        assert codes(talk.ask("moments", features=("x",))) == {"budget"}
    with Silo.embedded(tmp_path / "shop.duckdb", name="renamed", policy=policy) as silo:
        reply = silo.answer(task("moments", new_run(), silo="renamed", features=("y",)))
        assert codes(reply) == {"budget"}


def test_a_stricter_policy_is_not_evaded_by_an_earlier_answer(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), Policy(min_customers=10)) as talk:
        assert talk.ask("moments").status == "ok"
        talk.reopen(Policy(min_customers=50))
        assert codes(talk.ask("moments", run=new_run())) == {"small"}


# -- publications -----------------------------------------------------------------------------

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


# -- what leaves ------------------------------------------------------------------------------


def test_markers_in_rows_never_leave(tmp_path: Path, session: hanse.Session) -> None:
    rows = blobs([60, 40, 3])
    rows[7] = (0.123456789123, -0.987654321987)
    customers = [f"MARKER-{i}" for i in range(103)]
    model = plain(artifact(session, rows))
    with Talk(tmp_path, rows, OPEN, customers=customers) as talk:
        train(talk, BisectingKMeans(num_clusters=2, split_starts=1))
        talk.ask("describe")
        talk.ask("moments")
        talk.ask("summarize", payload={"clusters": 3})
        talk.ask("evaluate", payload={"artifact": model, "phase": 1})
        talk.ask("moments", features=("MARKER",))
        payloads = [entry.payload for entry in entries_of(talk.config.ledger)]
        assert len(payloads) > 8
        for payload in payloads:
            for marker in ("MARKER-", "0.12345678", "0.98765432", "cMARKER"):
                assert marker not in payload
        assert all(e.customers >= 10 for e in talk.silo.ledger.entries if e.cells)


def test_the_ledger_holds_the_exact_payload(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        replies = [talk.ask("moments"), talk.ask("moments", features=("nope",)), talk.ask("finish")]
        found = entries_of(talk.config.ledger)
        heads = tuple(reply.ledger_head for reply in replies)
        assert verify(talk.config.ledger, heads).problems == ()
    for entry, reply in zip(found, replies, strict=True):
        held = decode(entry.payload.encode(), Reply)
        assert held.ledger_head == ""
        assert held.statistics == json.loads(json.dumps(reply.statistics))
        assert entry.task == reply.task_hash
    assert found[0].shapes == {"count": (), "mean": (2,), "m2": (2,)}
    assert found[0].policy == replies[0].policy_hash
    assert found[0].privacy is None


# -- the same bytes again ---------------------------------------------------------------------


def test_a_retried_task_gets_the_same_bytes_also_after_a_restart(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = task("summarize", talk.run, payload={"clusters": 2})
        first = encode(talk.silo.answer(asked))
        later = task("summarize", talk.run, payload={"clusters": 2})
        assert task_hash(later) == task_hash(asked)
        assert encode(talk.silo.answer(later)) == first
        talk.reopen()
        assert encode(talk.silo.answer(later)) == first
        assert len(talk.silo.ledger.entries) == 1


def test_the_same_task_on_many_threads_is_answered_once(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = [task("summarize", talk.run, payload={"clusters": 2}) for _ in range(8)]
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda t=t: found.append(encode(talk.silo.answer(t)))) for t in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(talk.silo.ledger.entries) == 1


SERVER = """
import sys
from pathlib import Path
from hanse.federation.ledger import Ledger
from hanse.federation.silo import Silo
from hanse.messages import Task, decode, encode

def waiting(append, when):
    def wrapped(self, entry):
        if when == "before":
            print("at the gate", flush=True)
            sys.stdin.readline()
        hash_ = append(self, entry)
        if when == "after":
            print("on disk", flush=True)
            sys.stdin.readline()
        return hash_
    return wrapped

database, when, message = sys.argv[1:]
silo = Silo.embedded(database, name="shop")
Ledger.append = waiting(Ledger.append, when)
reply = silo.answer(decode(message.encode(), Task))
print(encode(reply).decode(), flush=True)
"""


def start(database: Path, when: str, message: bytes) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, str(database), when, message.decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


@pytest.mark.parametrize(("when", "entries"), [("before", 0), ("after", 1)])
def test_a_silo_that_is_killed_around_the_ledgers_write_gives_one_answer(
    tmp_path: Path, when: str, entries: int
) -> None:
    database = tmp_path / "shop.duckdb"
    fill(database, blobs([60, 40, 4]))
    asked = task("summarize", new_run(), payload={"clusters": 3})
    process = start(database, when, encode(asked))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == {"before": "at the gate", "after": "on disk"}[when]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    close(process)
    ledger = tmp_path / "shop.ledger"
    held = entries_of(ledger)
    assert len(held) == entries
    with duckdb.connect(str(database)) as loader:  # the store goes on meanwhile; the run must not notice
        loader.execute("INSERT INTO features SELECT 'n' || i, 5, 5 FROM range(50) t(i)")
    again = start(database, "never", encode(asked))
    output, _ = again.communicate()
    reply = decode(output.encode(), Reply)
    assert sum(reply.statistics["count"]) == 104
    found = entries_of(ledger)
    assert len(found) == 1
    if entries:
        assert found[0] == held[0]
    assert json.loads(found[0].payload)["statistics"] == json.loads(output)["statistics"]
    third = start(database, "never", encode(asked))
    assert third.communicate()[0] == output
    assert verify(ledger, (reply.ledger_head,)).problems == ()


def test_a_line_that_was_torn_by_a_crash_was_never_sent_and_is_answered_anew(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = task("moments", talk.run)
        first = talk.silo.answer(asked)
        talk.silo.close()
        whole = talk.config.ledger.read_bytes()
        talk.config.ledger.write_bytes(whole[: len(whole) // 2])
        talk.config.ledger.with_suffix(".head").unlink()
        talk.silo = Silo(talk.config)
        again = talk.silo.answer(asked)
        assert again.statistics == first.statistics
        decisions: Sequence[str] = [e.decision for e in talk.silo.ledger.entries]
        assert decisions == ["recovered", "released"]


def test_another_process_may_prune_the_ledger_while_the_silo_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        with monkeypatch.context() as patched:
            patched.setattr("hanse.federation.ledger._now", lambda: "2026-01-01T00:00:00.000+00:00")
            old = talk.ask("moments")
        kept = talk.ask("summarize", payload={"clusters": 2})
        other = Ledger(talk.config.ledger)
        assert other.prune(1) == 1
        other.close()
        again = [talk.silo.answer(asked) for asked in talk.asked.values()]
        assert again[0].statistics == old.statistics  # it was forgotten, and is a new answer
        assert again[1] == kept
        assert [entry.decision for entry in talk.silo.ledger.entries] == ["pruned", "released", "released"]
    assert verify(talk.config.ledger, (kept.ledger_head, again[0].ledger_head)).problems == ()
