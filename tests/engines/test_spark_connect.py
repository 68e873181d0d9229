"""Spark Connect: the same statements over the network, on a server of its own that all tests here share."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import HANSE
from referee import register, silhouette, train
from spark_session import missing_spark

import hanse
from hanse.engines import spark_start
from hanse.errors import BindError, DataError, EngineError, UsageError

SERVER = Path(__file__).resolve().parents[1] / "spark_connect_server.py"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, started for these tests."""
    reason = missing_spark()
    if reason is not None:
        pytest.skip(reason)
    pytest.importorskip("grpc", reason="Spark Connect's client is not installed: pip install 'pyspark[connect]'")
    folder = tmp_path_factory.mktemp("connect")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, str(SERVER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            assert port, (folder / "log").read_text()
            yield f"sc://127.0.0.1:{int(port)}"
        finally:
            server.stdin.close()
            server.wait()
            server.stdout.close()


@pytest.fixture
def shop(url: str) -> Iterator[hanse.Session]:
    with hanse.connect(engine="spark", remote=url) as opened:
        yield opened


def session_of(url: str) -> Any:
    """A session as a user opens it; the first one in a process is the active one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark.sql.connect.session import SparkSession

        return SparkSession.builder.remote(url).create()


def groups() -> Any:
    """(240, 2) two groups of 200 and 37 far apart, and three rows near neither."""
    random = np.random.default_rng(4)
    parts = [
        random.normal(0, 1, (200, 2)),
        random.normal(20, 1, (37, 2)),
        [[80.0, -60.0], [90.0, -60.0], [80.0, -70.0]],
    ]
    return np.concatenate(parts)


# -- models ------------------------------------------------------------------------------------


def test_a_model_is_trained_evaluated_and_finds_anomalies(shop: hanse.Session) -> None:
    rows = groups()
    register(shop, rows)
    train(shop, "m", num_clusters=3)
    truth = np.repeat([0, 1, 2], [200, 37, 3])
    found = shop.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM points) ORDER BY id").fetchall()
    assert [row[0] for row in found] == truth.tolist()
    ((value, clusters),) = shop.sql(
        "SELECT silhouette, clusters FROM model_evaluate(m, 1, SELECT x0, x1 FROM points)"
    ).fetchall()
    assert value == pytest.approx(silhouette(rows, truth), rel=1e-9)
    assert clusters == 3
    flagged = shop.sql("SELECT id FROM detect_anomalies(m, 1, SELECT * FROM points, topk => 3) WHERE is_anomaly")
    assert sorted(row[0] for row in flagged.fetchall()) == [237, 238, 239]
    told = shop.sql("SELECT id, explanation FROM explain_anomalies(m, 1, SELECT * FROM points, topk => 3)").fetchall()
    assert {row[0] for row in told} == {237, 238, 239}
    assert all("ordinary" in row[1] for row in told)


def test_training_keeps_its_rows_on_the_executors(shop: hanse.Session) -> None:
    shop.engine.keep("hanse_rows_test", "SELECT CAST(id AS DOUBLE) AS x FROM range(9)")
    assert "InMemoryTableScan" in dict(shop.engine.explain("SELECT sum(x) FROM hanse_rows_test"))["physical_plan"]
    shop.engine.forget("hanse_rows_test")
    with pytest.raises(EngineError, match="hanse_rows_test"):
        shop.engine.rows("SELECT * FROM hanse_rows_test")


def test_values_come_as_they_are(shop: hanse.Session) -> None:
    query = "SELECT 1 / 0 AS nothing, CAST(1.5 AS DECIMAL(3, 1)) AS d, array(1, 2) AS a, CAST('x' AS INT) AS i"
    ((nothing, number, array, text),) = shop.sql(query).fetchall()
    assert (nothing, str(number), array, text) == (None, "1.5", [1, 2], None)


# -- tables ------------------------------------------------------------------------------------


def test_a_temporary_table_holds_its_rows_and_is_gone_with_the_session(url: str) -> None:
    """Whichever session is the thread's active one: the client of Spark asks that one for what it holds."""
    other = session_of(url)
    with hanse.connect(engine="spark", remote=url) as shop:
        shop.sql("CREATE TABLE source AS SELECT id FROM range(5)")
        shop.sql("CREATE TEMP TABLE held AS SELECT * FROM source")
        shop.sql("INSERT INTO source SELECT 99")
        shop.sql("CREATE TEMP TABLE empty (a INT, b STRING)")
        shop.sql("INSERT INTO empty VALUES (1, 'x')")
        assert shop.sql("SELECT count(*) FROM held").fetchall() == [(5,)]
        assert shop.sql("SELECT * FROM empty").fetchall() == [(1, "x")]
        shop.sql("DROP TABLE source")
        assert shop.sql("SELECT count(*) FROM held").fetchall() == [(5,)]
    with hanse.connect(engine="spark", remote=url) as shop:
        assert shop.sql("SHOW TABLES").fetchall() == []
    assert other.sql("SELECT 1").collect()[0][0] == 1
    other.stop()


def test_a_session_of_the_users_shares_its_views_and_lives_on(url: str) -> None:
    session = session_of(url)
    session.sql("CREATE TEMPORARY VIEW mine AS SELECT 7 AS x")
    with hanse.connect(engine="spark", spark=session) as shop:
        assert shop.sql("SELECT x FROM mine").fetchall() == [(7,)]
        shop.sql("CREATE TEMP TABLE held AS SELECT * FROM mine")
    assert [row.tableName for row in session.sql("SHOW TABLES").collect()] == ["mine"]
    session.stop()


# -- errors ------------------------------------------------------------------------------------


def test_errors_have_a_place_and_no_java(shop: hanse.Session) -> None:
    register(shop, groups())
    with pytest.raises(BindError, match="unknown column nothing at line 2, column 3: valid: id, x0, x1") as raised:
        shop.sql("SELECT\n  nothing FROM points")
    assert raised.value.position == (2, 3)
    train(shop, "m", num_clusters=2)
    with pytest.raises(DataError, match=r"NULL or non-finite features: x1 \(240 of 240 rows\)"):
        shop.sql("SELECT * FROM model_predict(m, 1, SELECT x0, CAST(NULL AS DOUBLE) AS x1 FROM points)").fetchall()
    with pytest.raises(EngineError, match="integer overflow") as told:
        shop.sql("SELECT 2147483647 + CAST(id AS INT) FROM points").fetchall()
    assert not any(sign in str(told.value) for sign in ("\n", "org.apache", "SQLSTATE", "java."))


def test_a_session_that_was_stopped(url: str) -> None:
    session = session_of(url)
    with hanse.connect(engine="spark", spark=session) as shop:
        shop.sql("CREATE TEMP TABLE held AS SELECT 1.0 AS x")
        session.stop()
        with pytest.raises(EngineError, match="the Spark session has ended: start one and connect again"):
            shop.sql("CREATE TABLE t AS SELECT 1 AS x")


class Wire:
    """A port of this machine that leads to another one, until it is cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets = [self._listener]
        self._thread = threading.Thread(target=self._carry)
        self._stop, self._stopped = socket.socketpair()
        self._thread.start()

    def _carry(self) -> None:
        ends: dict[socket.socket, socket.socket] = {}
        while True:
            for ready in select.select([self._stopped, self._listener, *ends], [], [])[0]:
                if ready is self._stopped:
                    return
                if ready is self._listener:
                    near, far = self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._target))
                    ends |= {near: far, far: near}
                    self._sockets += [near, far]
                elif ready in ends:
                    data = ready.recv(65536)
                    if data:
                        ends[ready].sendall(data)
                    else:
                        del ends[ends.pop(ready)]

    def cut(self) -> None:
        """Nobody answers at the port any more."""
        self._stop.close()
        self._thread.join()
        for end in [*self._sockets, self._stopped]:
            end.close()


def test_a_server_that_is_gone(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is as it was, and nobody waits for what does not come back."""
    monkeypatch.setattr(spark_start, "_TRIES", 1)
    wire = Wire(int(url.rpartition(":")[2]))
    with hanse.connect(tmp_path / "shop", engine="spark", remote=f"sc://127.0.0.1:{wire.port}") as shop:
        register(shop, groups())
        train(shop, "first", num_clusters=2)
        make = "CREATE MODEL second OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT x0, x1 FROM points"
        cut = threading.Event()

        def lost(*_: object) -> None:
            if not cut.is_set():
                cut.set()
                wire.cut()

        with pytest.raises(EngineError, match=r"the Spark session has ended.*models in the registry are as they were"):
            shop.sql(make, progress=lost)
        assert [info.name for info in shop.registry.list()] == ["first"]


@pytest.mark.parametrize("address", ["localhost:15002", "http://localhost", "sc://", "sc://host:port", ""])
def test_an_address_that_is_none(address: str) -> None:
    pytest.importorskip("grpc")
    with pytest.raises(UsageError, match=r"need the address of a Spark Connect server, sc://host:15002"):
        hanse.connect(engine="spark", remote=address)


def test_a_server_that_does_not_answer() -> None:
    pytest.importorskip("grpc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(EngineError, match=rf"no Spark Connect server answers at sc://127.0.0.1:{port} \(.*refused\)"):
        hanse.connect(engine="spark", remote=f"sc://127.0.0.1:{port}")


def test_a_client_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pyspark.sql.connect")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UsageError, match=r"Spark Connect .* needs its client: pip install 'pyspark\[connect\]'"):
        hanse.connect(engine="spark", remote="sc://localhost")


# -- the command line --------------------------------------------------------------------------


def test_a_script_on_the_command_line(url: str, tmp_path: Path) -> None:
    script = tmp_path / "train.sql"
    script.write_text(
        "CREATE TEMP TABLE points AS SELECT CAST(id % 2 * 10 + id % 3 AS DOUBLE) AS x FROM range(60);\n"
        "CREATE MODEL m OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT x FROM points;\n"
        "SELECT prediction, count(*) AS n FROM model_predict(m, 1, SELECT * FROM points) GROUP BY 1 ORDER BY 1;\n"
        "SELECT x, nothing FROM points;\n"
    )
    arguments = ["run", str(script), "-w", "shop", "--engine", "spark", "--remote", url, "--format", "json"]
    done = subprocess.run(
        [*HANSE, *arguments], capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False
    )
    assert done.returncode == 2
    assert "unknown column nothing at line 4, column 11: valid: x" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    (rows,) = [line for line in map(json.loads, done.stdout.splitlines()) if line["kind"] == "select"]
    assert rows["rows"] == [[0, 30], [1, 30]]
    wish = ["report", "m", "--select", "SELECT CAST(id AS STRING) AS id, CAST(id AS DOUBLE) AS x FROM range(9)"]
    done = subprocess.run(
        [*HANSE, *wish, "-w", "shop", "--engine", "spark", "--remote", url],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The report: report.html" in done.stdout


def test_a_silo_whose_rows_are_behind_the_server(url: str, shop: hanse.Session, tmp_path: Path) -> None:
    shop.sql(
        "CREATE OR REPLACE TABLE features AS SELECT CONCAT('c', CAST(id AS STRING)) AS customer_id, "
        "CAST(id % 7 AS DOUBLE) AS spend FROM range(80)"
    )
    config = tmp_path / "silo.toml"
    config.write_text(
        f'name = "shop"\nengine = "spark"\nworkspace = "."\nremote = "{url}"\n[publish.features]\n'
        'relation = "features"\ncustomer = "customer_id"\ncolumns = ["spend"]\n'
    )
    with hanse.connect() as session:
        session.sql(f"CREATE SILO shop OPTIONS (config = '{config}')")
        session.sql(
            "CREATE FEDERATED MODEL g OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2, QUORUM = 1) "
            "OVER SILOS (shop) AS SELECT spend FROM features"
        )
        assert dict(session.sql("DESCRIBE MODEL g").fetchall())["rows"] == "80"
    arguments = ["silo", "preview", "--config", str(config), "--format", "json"]
    done = subprocess.run([*HANSE, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["customers"] == 80
    shop.sql("DROP TABLE features")
