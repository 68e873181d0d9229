"""The silo's agent: each kind of task against a referee."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from silo_support import FEATURES, OPEN, Talk, blobs, codes, fill, new_run, task

import hanse
from hanse.federation.audit import entries_of
from hanse.federation.install import Installer, stripped
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.codec import state_to_plain
from hanse.registry import Registry
from hanse.statistics import Statistics

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
