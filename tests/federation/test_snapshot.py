"""A run's own copy: what is copied, how it is opened, when it goes, what is refused."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from silo_support import OPEN, Talk, blobs, codes, fill, new_run, silo_toml, task

from hanse.engines.duckdb import DuckDB
from hanse.errors import EngineError
from hanse.federation.config import SiloConfig
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.models.codec import state_to_plain
from hanse.models.kmeans import KMeansState

LOADER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("INSERT INTO features VALUES ('new', 0.5, 0.5)")
print("held", flush=True)
sys.stdin.readline()
connection.close()
"""


def files(talk: Talk) -> list[Path]:
    return sorted((talk.config.state / "snapshots").iterdir())


def test_all_tasks_of_a_run_are_answered_from_the_rows_of_its_first_task(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), Policy(min_changed_customers=0)) as talk:
        first = talk.ask("describe")
        fill(talk.database, blobs([90], seed=1))
        assert talk.ask("moments").statistics["count"] == 40.0
        other = talk.ask("moments", run=new_run())
        assert other.statistics["count"] == 90.0
        assert other.fingerprint != first.fingerprint
        assert talk.ask("summarize", payload={"clusters": 1}).fingerprint == first.fingerprint


def test_the_copy_is_private_and_goes_when_the_run_ends(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        talk.ask("moments")
        (copy,) = files(talk)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(talk.config.state.stat().st_mode) == 0o700
        assert talk.ask("finish").status == "ok"
        assert files(talk) == []
        assert codes(talk.ask("moments")) == {"finished"}


def test_the_store_may_load_while_a_run_is_open(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        talk.ask("moments")
        with duckdb.connect(str(talk.database)) as loader:
            loader.execute("INSERT INTO features VALUES ('late', 1, 1)")
            assert talk.ask("summarize", payload={"clusters": 1}).statistics["count"] == [40.0]


def test_a_silo_waits_for_the_loader_until_the_task_expires(tmp_path: Path) -> None:
    fill(tmp_path / "shop.duckdb", blobs([40]))
    loader = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(tmp_path / "shop.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert loader.stdin is not None
    assert loader.stdout is not None
    assert loader.stdout.readline() == "held\n"
    with Silo.embedded(tmp_path / "shop.duckdb", name="shop") as silo:
        run = new_run()
        late = silo.answer(task("moments", run, expires_at=time.time() + 0.2))
        assert (late.status, codes(late)) == ("failed", {"busy"})
        replies: list[Any] = []
        asking = threading.Thread(target=lambda: replies.append(silo.answer(task("moments", run))))
        asking.start()
        loader.stdin.write("\n")
        loader.stdin.flush()
        loader.wait()
        asking.join()
        assert replies[0].statistics["count"] == 41.0
    loader.stdin.close()
    loader.stdout.close()


def test_a_restarted_silo_goes_on_with_the_same_copy(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        first = talk.ask("moments")
        talk.reopen()
        fill(talk.database, blobs([90], seed=1))
        again = talk.ask("summarize", payload={"clusters": 1})
        assert again.statistics["count"] == [40.0]
        assert again.fingerprint == first.fingerprint


def test_a_copy_that_is_gone_is_made_again_only_from_the_same_rows(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40]), Policy(min_changed_customers=0)) as talk:
        first = talk.ask("moments")
        talk.silo.close()
        for path in files(talk):
            path.unlink()
        talk.silo = Silo(talk.config)
        assert talk.ask("summarize", payload={"clusters": 1}).fingerprint == first.fingerprint
        talk.silo.close()
        for path in files(talk):
            path.unlink()
        fill(talk.database, blobs([90], seed=1))
        talk.silo = Silo(talk.config)
        assert codes(talk.ask("summarize", payload={"clusters": 2})) == {"expired"}


def test_a_copy_that_nobody_asks_of_is_swept(tmp_path: Path) -> None:
    fill(tmp_path / "shop.duckdb", blobs([40]))
    now = [time.time()]
    config = SiloConfig.embedded("shop", tmp_path / "shop.duckdb", Policy(snapshot_hours=1.0))
    with Silo(config, clock=lambda: now[0]) as silo:
        silo.answer(task("moments", new_run()))
        folder = config.state / "snapshots"
        assert len(list(folder.iterdir())) == 1
        now[0] += 2 * 3600
        silo.answer(task("moments", new_run(), expires_at=now[0] + 60))
        assert len(list(folder.iterdir())) == 1


def test_the_same_rows_have_the_same_fingerprint_in_any_order(tmp_path: Path) -> None:
    rows = blobs([40])
    with Talk(tmp_path, rows) as talk:
        first = talk.ask("describe").fingerprint
        order = np.random.default_rng(1).permutation(len(rows))
        fill(talk.database, rows[order], customers=order)
        assert talk.ask("describe", run=new_run()).fingerprint == first
        rows[3, 1] += 1e-9
        fill(talk.database, rows)
        assert talk.ask("describe", run=new_run()).fingerprint != first


def test_the_fingerprint_of_the_same_rows_differs_between_silos(tmp_path: Path) -> None:
    """Else a coordinator could try rows out until the fingerprint fits."""
    prints = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        with Talk(tmp_path / name, blobs([40])) as talk:
            prints.add(talk.ask("describe").fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_rows_that_are_no_numbers_are_refused_with_silo_and_column(tmp_path: Path, value: Any) -> None:
    rows = blobs([40])
    with Talk(tmp_path, rows) as talk:
        with duckdb.connect(str(talk.database)) as loader:
            loader.execute("UPDATE features SET y = ? WHERE customer_id IN ('c3', 'c7')", [value])
        reply = talk.ask("moments")
        assert (reply.status, codes(reply)) == ("failed", {"data"})
        assert "column y" in reply.message
        assert "2" not in reply.message
        assert "y is NULL, NaN or infinite in 2 rows" in talk.silo.ledger.entries[-1].detail


def test_rows_without_a_customer_are_refused(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        with duckdb.connect(str(talk.database)) as loader:
            loader.execute("UPDATE features SET customer_id = NULL WHERE customer_id = 'c3'")
        assert "rows without a customer" in talk.ask("moments").message


def test_values_are_clipped_before_any_statistic(tmp_path: Path) -> None:
    rows = blobs([40])
    rows[0] = (1e9, -1e9)
    fill(tmp_path / "shop.duckdb", rows)
    bounds = '[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n'
    path = silo_toml(tmp_path, publish=bounds + "bounds = { x = [-2, 2], y = [-2, 2.5] }")
    with Silo(SiloConfig.load(path)) as silo:
        reply = silo.answer(task("moments", new_run()))
    clipped = np.clip(rows, [-2, -2], [2, 2.5])
    assert reply.statistics["mean"] == pytest.approx(clipped.mean(axis=0), rel=1e-12)
    assert reply.statistics["m2"] == pytest.approx(((clipped - clipped.mean(axis=0)) ** 2).sum(axis=0), rel=1e-12)


def test_a_value_that_is_no_number_is_not_hidden_by_bounds(tmp_path: Path) -> None:
    rows = blobs([40])
    rows[0, 0] = np.nan
    fill(tmp_path / "shop.duckdb", rows)
    bounds = '[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n'
    with Silo(SiloConfig.load(silo_toml(tmp_path, publish=bounds + "bounds = { x = [-2, 2] }"))) as silo:
        assert codes(silo.answer(task("moments", new_run()))) == {"data"}


def test_the_database_is_opened_locked(tmp_path: Path) -> None:
    fill(tmp_path / "shop.duckdb", blobs([5]))
    engine = DuckDB(tmp_path / "shop.duckdb", read_only=True, locked=True)
    (tmp_path / "other.csv").write_text("a\n1\n")
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path / 'other.csv'}')",
        f"COPY features TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'b.duckdb'}'",
        "SET enable_external_access = true",
        "SET threads = 1",
        "INSERT INTO features VALUES ('a', 1, 1)",
        "INSTALL httpfs",
    ):
        with pytest.raises(EngineError):
            engine.execute(sql)
    engine.close()


def test_the_copy_is_opened_locked_too_and_a_small_one_on_one_thread(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        assert talk.ask("moments").status == "ok"
        (copy,) = talk.silo._snapshots._open.values()
        for sql in ("SET threads = 2", f"SELECT * FROM read_csv('{tmp_path}/*.csv')", "CREATE TABLE t (a INTEGER)"):
            with pytest.raises(EngineError):
                copy.engine.execute(sql)
        assert copy.engine.rows("SELECT current_setting('threads')") == [(1,)]


def test_rows_held_in_memory_give_the_answers_that_the_file_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, random, found = blobs([1500, 1200, 800]), np.random.default_rng(0), []
    states = [random.normal(size=(3, 2)) for _ in range(6)]
    for most, folder in ((10**6, tmp_path / "held"), (7_000, tmp_path / "full"), (6_999, tmp_path / "file")):
        folder.mkdir()
        monkeypatch.setattr("hanse.federation.snapshot._HELD_NUMBERS", most)
        with Talk(folder, rows, OPEN) as talk:
            replies = [talk.ask("moments"), talk.ask("summarize", payload={"clusters": 5})]
            for centroids in states:
                state = state_to_plain(KMeansState(("x", "y"), "step", np.zeros(2), centroids=centroids))
                asked = {"model_type": "kmeans", "options": {"num_clusters": 3}, "strategy": "rounds", "state": state}
                replies.append(talk.ask("observe", **asked))
            (copy,) = talk.silo._snapshots._open.values()
            plans = copy.engine.rows("SELECT count(*) FROM duckdb_prepared_statements()")[0][0]
            replies.append(talk.ask("moments", features=("y", "x")))  # another view, and other plans
            replies.append(talk.ask("observe", **asked | {"features": ("y", "x")}))
            assert {reply.status for reply in replies} == {"ok"}
            found.append(([reply.statistics for reply in replies], plans > 0))
    (held, kept), (full, kept_too), (file, kept_not) = found
    assert held == full == file
    assert (kept, kept_too, kept_not) == (True, True, False)


def test_rows_that_several_threads_read_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their order, and with it the last digits of a sum, would be another one each time."""
    for most, held in ((40, True), (39, False)):
        folder = tmp_path / str(most)
        folder.mkdir()
        monkeypatch.setattr("hanse.federation.snapshot._ONE_THREAD_ROWS", most)
        with Talk(folder, blobs([40])) as talk:
            assert talk.ask("moments").status == "ok"
            (copy,) = talk.silo._snapshots._open.values()
            assert (copy.engine.relation_columns(["held"]) is not None) == held


def test_a_view_over_files_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("customer_id,x,y\n" + "".join(f"c{i},{i},{i}\n" for i in range(40)))
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE VIEW features AS SELECT * FROM read_csv('{tmp_path / 'rows.csv'}')")
    with Silo(SiloConfig.load(silo_toml(tmp_path))) as silo:
        reply = silo.answer(task("moments", new_run()))
    assert reply.status == "failed"
    assert "rows.csv" not in reply.message
