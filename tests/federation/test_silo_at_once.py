"""One silo asked by several at once: nothing is lost, counted twice, or released beside what it must not stand beside."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from silo_support import OPEN, Talk, blobs, codes, fill, new_run, task

import hanse
from hanse.errors import WorkspaceError
from hanse.federation.config import SiloConfig
from hanse.federation.install import Installer, stripped
from hanse.federation.silo import Silo
from hanse.messages import encode
from hanse.models.codec import state_to_plain
from hanse.models.kmeans import KMeans, KMeansState
from hanse.registry import Registry
from hanse.transports.inprocess import InProcess

WAIT_S = 20.0


def test_an_answer_that_is_written_while_another_is_counted_is_counted_too(tmp_path: Path) -> None:
    """A release that is not counted would be free of charge, and could not be repeated."""
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        assert talk.ask("moments").status == "ok"
        ledger, answers = talk.silo.ledger, talk.silo._answers
        entry = msgspec.structs.replace(ledger.entries[-1], run=new_run(), task="another", payload="{}")
        writer = threading.Thread(target=ledger.append, args=(entry,))

        class Interrupted(deque):  # type: ignore[type-arg]
            def append(self, item: Any) -> None:
                super().append(item)
                if not writer.ident:
                    writer.start()
                    writer.join(0.5)

        answers._spent = Interrupted()
        assert not answers.finished(talk.run, "shop")
        writer.join(WAIT_S)
        assert len(ledger.entries) == 2
        assert answers.left(OPEN, "features") == {
            "runs": OPEN.runs_per_day - 2,
            "cells": OPEN.cells_per_day - 2 * entry.cells,
        }


def test_many_runs_at_once_are_each_charged_once(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        tasks = [task("moments", new_run(), features=("x", "y")[: 1 + i % 2], min_customers=10 + i) for i in range(24)]
        with ThreadPoolExecutor(8) as threads:
            first = list(threads.map(talk.silo.answer, tasks))
            again = list(threads.map(talk.silo.answer, tasks))
        assert {reply.status for reply in first} == {"ok"}
        assert [encode(reply) for reply in again] == [encode(reply) for reply in first]
        spent = sum(entry.cells for entry in talk.silo.ledger.entries if entry.decision == "released")
        assert talk.silo._answers.left(OPEN, "features") == {
            "runs": OPEN.runs_per_day - 24,
            "cells": OPEN.cells_per_day - spent,
        }


def test_the_same_plan_of_two_runs_at_once_is_released_once(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        both = threading.Barrier(2, timeout=WAIT_S)
        judged = talk.silo._judged

        def together(*arguments: Any) -> Any:
            found = judged(*arguments)
            both.wait()
            return found

        talk.silo._judged = together  # type: ignore[method-assign]
        with ThreadPoolExecutor(2) as threads:
            replies = list(threads.map(talk.silo.answer, [task("moments", new_run()) for _ in range(2)]))
        assert replies[0].statistics == replies[1].statistics
        assert sorted(entry.decision for entry in talk.silo.ledger.entries) == ["released", "repeated"]


@pytest.mark.parametrize("first", [0, 1])
def test_runs_that_copied_the_data_before_and_after_one_customer_changed_are_not_both_answered(
    tmp_path: Path, first: int
) -> None:
    """Whoever is answered first: the difference would be that customer."""
    rows = blobs([40])
    policy = dataclasses.replace(OPEN, min_changed_customers=5)
    with Talk(tmp_path, rows, policy) as talk:
        runs = [new_run(), new_run()]
        assert talk.ask("describe", run=runs[0]).status == "ok"
        changed = rows.copy()
        changed[3] += 7.0
        fill(talk.database, changed)
        assert talk.ask("describe", run=runs[1]).status == "ok"
        assert talk.ask("moments", run=runs[first]).status == "ok"
        for kind, given in (("moments", {}), ("summarize", {"payload": {"clusters": 1}})):
            refused = talk.ask(kind, run=runs[1 - first], **given)
            assert (refused.status, codes(refused), refused.statistics) == ("refused", {"complementary"}, {})
            assert "begin a new run" in refused.message
        assert talk.ask("summarize", run=runs[first], payload={"clusters": 1}).status == "ok"


def step(*centres: float) -> dict[str, Any]:
    """A step of k-means with centroids on the diagonal."""
    state = KMeansState(("x", "y"), "step", np.zeros(2), centroids=np.array(centres)[:, None] * np.ones(2))
    options = dataclasses.asdict(KMeans(num_clusters=len(centres)))
    return {"strategy": "rounds", "model_type": "kmeans", "options": options, "state": state_to_plain(state)}


def test_cells_that_are_merged_while_another_run_is_judged_stay_merged_in_its_answer(tmp_path: Path) -> None:
    """As if it had been asked afterwards: three customers, merged with twelve, must not fall out by subtraction."""
    sizes, places = (40, 12, 3, 30), (0.0, 10.0, 14.0, 40.0)
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(at, 0.1, (n, 2)) for n, at in zip(sizes, places, strict=True)])
    merging, apart = step(*places), step(0.0, 10.0, 17.0)  # the twelve alone, and the three with the thirty
    talks = {}
    for name in ("after", "alone", "overtaken"):
        (tmp_path / name).mkdir()
        talks[name] = Talk(tmp_path / name, rows, OPEN)
    assert codes(talks["after"].ask("observe", **merging)) == {"merged"}
    expected = talks["after"].ask("observe", run=new_run(), **apart)
    alone = talks["alone"].ask("observe", **apart)
    talk, seen = talks["overtaken"], []
    judged = talk.silo._judged

    def overtaken(asked: Any, run: Any, masks: Any) -> Any:
        found = judged(asked, run, masks)
        if asked.state == apart["state"]:
            seen.append(len(masks))
            if len(seen) == 1:
                assert codes(talk.ask("observe", run=new_run(), **merging)) == {"merged"}
        return found

    talk.silo._judged = overtaken  # type: ignore[method-assign]
    got = talk.ask("observe", **apart)
    assert len(seen) == 2
    assert seen[0] == 0
    assert seen[1] > 0
    assert alone.statistics["count"] == [40, 12, 33]
    assert (got.status, got.statistics, codes(got)) == (expected.status, expected.statistics, codes(expected))
    assert got.statistics.get("count") != alone.statistics["count"]
    for one in talks.values():
        one.silo.close()


# -- the end ----------------------------------------------------------------------------------


def test_a_silo_that_is_closed_answers_nothing_and_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), OPEN) as talk:
        assert talk.ask("moments").status == "ok"
        numbers = {talk.silo.ledger._file, talk.silo.ledger._lock, talk.silo.ledger._head}
        talk.silo.close()
        strangers = [os.open(tmp_path / f"{i}", os.O_RDWR | os.O_CREAT) for i in range(16)]
        assert numbers <= set(strangers)
        with pytest.raises(WorkspaceError, match="is closed: nothing leaves"):
            talk.ask("moments", features=("x",))
        talk.silo.close()
        for stranger in strangers:
            os.fstat(stranger)
            os.close(stranger)


def test_who_answers_when_nobody_waits_any_more_says_nothing() -> None:
    lines: list[str] = []
    began, go = threading.Event(), threading.Event()

    def slow(_: Any) -> Any:
        began.set()
        assert go.wait(WAIT_S)
        raise WorkspaceError("ledger x.ledger is closed: nothing leaves")

    transport = InProcess({"a": slow}, lines.append)
    pool = None
    try:
        assert list(transport.ask({"a": task("moments", new_run(), silo="a")}, 0.05)) == []
        assert began.wait(WAIT_S)
        pool = transport._pool
    finally:
        transport.close()
        go.set()
    assert pool is not None
    pool.shutdown(wait=True)
    assert lines == []


# -- installing -------------------------------------------------------------------------------


def test_stores_of_one_folder_take_a_model_over_at_once(tmp_path: Path, session: hanse.Session) -> None:
    """They share its registry: one model, one version, known to each as the coordinator's."""
    rows = blobs([40, 30])
    session.register("points", pa.table({"x": rows[:, 0], "y": rows[:, 1]}))
    session.sql("CREATE MODEL g OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT x, y FROM points")
    artifact = stripped(session.registry.load("g")[1])
    payload = {"name": "league.g", "artifact": msgspec.to_builtins(artifact)}
    installers = []
    for name in ("a", "b", "c"):
        fill(tmp_path / f"{name}.duckdb", blobs([40]))
        config = SiloConfig.embedded(name, tmp_path / f"{name}.duckdb", OPEN)
        Silo(config).close()  # makes its folder
        installers.append(Installer(config))
    assert len({installer._config.registry for installer in installers}) == 1
    start = threading.Barrier(3, timeout=WAIT_S)

    def install(installer: Installer) -> Any:
        start.wait()
        return installer.install(payload)

    for _ in range(3):
        with ThreadPoolExecutor(3) as threads:
            assert {facts["installed"] for facts in threads.map(install, installers)} == {True}
    with Registry.open(installers[0]._config.registry) as registry:
        assert [(info.name, info.version) for info in registry.list()] == [("league.g", 1)]
    assert all("league.g" in installer._taken() for installer in installers)
    other = msgspec.structs.replace(artifact, created_by="a later run")
    for installer in installers:  # none of them takes it for a local model
        assert installer.install({**payload, "artifact": msgspec.to_builtins(other)})["installed"]
    with Registry.open(installers[0]._config.registry) as registry:
        assert [(info.name, info.version) for info in registry.list()] == [("league.g", 1), ("league.g", 2)]
