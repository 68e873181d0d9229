"""What a silo's policy refuses, and how budgets and plans that come again are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from silo_support import FEATURES, OPEN, Talk, blobs, codes, fill, new_run, task

from hanse.federation.policy import Policy
from hanse.federation.refusals import CODES
from hanse.federation.silo import Silo
from hanse.messages import encode
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.codec import state_to_plain
from hanse.statistics import Statistics

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
