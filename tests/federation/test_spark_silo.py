"""A silo whose rows are on Spark: the same answers, ledger and models as over DuckDB, and nothing done there but reading."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from federation_support import Broker
from silo_support import blobs, codes, new_run, task
from spark_session import missing_spark
from spark_store import MASTER, hashes, lay
from test_silo_cli import run, start

import hanse
from hanse.engines import spark_start
from hanse.engines.spark import Spark
from hanse.engines.spark_tables import FolderTables
from hanse.errors import BindError, EngineError, HanseError, UsageError, WorkspaceError
from hanse.federation.audit import entries_of, verify
from hanse.federation.config import SiloConfig
from hanse.federation.database import Database
from hanse.federation.silo import Silo
from hanse.messages import Reply
from hanse.transports.nats import Nats

REASON = missing_spark()
needs_spark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PUBLISHED = '[publish.features]\n{}\ncustomer = "customer_id"\ncolumns = ["spend", "orders"]\n'
RELATION = PUBLISHED.format('relation = "features"')
QUERY = PUBLISHED.format('sql = "features.sql"\nparams = { least = 1 }\nbounds = { spend = [0, 60] }')
SQL = "SELECT customer_id, spend / 2 AS spend, orders FROM features WHERE orders >= $least"


def customers(store: int, sizes: tuple[int, ...]) -> pa.Table:
    random = np.random.default_rng(store)
    centres = [(10.0, 30.0), (40.0, 8.0), (95.0, 60.0)]
    rows = np.concatenate([random.normal(c, 2.0, (n, 2)) for c, n in zip(centres, sizes, strict=True)])
    names = [f"{store}-{i // 2 if i < 20 else i}" for i in range(len(rows))]  # some have two rows
    orders = pa.array(np.rint(rows[:, 1]).astype(np.int32))
    return pa.table({"customer_id": names, "spend": rows[:, 0], "orders": orders})


def on_duckdb(folder: Path, rows: pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.register("given", rows)
        connection.execute("CREATE OR REPLACE TABLE features AS SELECT * FROM given")
    return folder


def silo_toml(folder: Path, *, engine: str = "spark", publish: str = RELATION, policy: str = "", **keys: str) -> Path:
    place = (
        {"engine": "spark", "workspace": ".", "master": MASTER} if engine == "spark" else {"database": "shop.duckdb"}
    )
    (folder / "features.sql").write_text(SQL)
    path = folder / "silo.toml"
    lines = [f'{key} = "{value}"' for key, value in {"name": folder.name, **place, **keys}.items()]
    path.write_text("\n".join([*lines, publish, "[policy]", policy, ""]))
    return path


def federation(folder: Path) -> str:
    """The table of that name in a silo.toml that ``hanse federation init`` wrote."""
    table = (folder / "silo.toml").read_text().partition("[federation]")[2]
    return f"[federation]{table.partition('# Nothing')[0]}\n"


@pytest.fixture
def shop(spark: Any, tmp_path: Path) -> Path:
    """The file of a silo of 100 customers on Spark."""
    rows = blobs([60, 40])
    names = [f"c{i}" for i in range(100)]
    store = ['o\'brien "1" \\ ü' if i < 60 else "b" for i in range(100)]
    data = pa.table({"customer_id": names, "spend": rows[:, 0], "orders": rows[:, 1], "store": store, "note": names})
    return silo_toml(lay(spark, tmp_path / "shop", data))


@contextlib.contextmanager
def opened(config: Path) -> Iterator[Silo]:
    with Silo(SiloConfig.load(config)) as silo:
        yield silo


def ask(silo: Silo, kind: str = "moments", *, run: str = "", to: str = "shop", **fields: Any) -> Reply:
    return silo.answer(task(kind, run or new_run(), silo=to, **{"features": ("spend", "orders"), **fields}))


# -- the same as over DuckDB --------------------------------------------------------------------


def trained(folder: Path, league: dict[str, Path], strategy: str, spark: Any = None) -> dict[str, Any]:
    """A model over some silos, what it measures, and what stands in the ledgers; on Spark the coordinator, too."""
    with hanse.connect(folder, engine="duckdb" if spark is None else "spark", spark=spark) as session:
        for name, config in league.items():
            session.sql(f"CREATE SILO {name} OPTIONS (config = '{config}')")
        session.sql(
            "CREATE FEDERATED MODEL g TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) "
            f"z) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, STRATEGY = '{strategy}', QUORUM = 1) "
            f"OVER SILOS ({', '.join(league)}) AS SELECT spend, orders FROM features"
        )
        compare = "SELECT * FROM federated_compare(g, 1) ORDER BY 1, 2, 3"
        return {
            "centroids": session.sql("SELECT * FROM model_centroids(g, 1)").fetchall(),
            "measures": session.sql("SELECT * FROM federated_evaluate(g, 1) ORDER BY silo").fetchall(),
            "compare": session.sql(compare).fetchall() if strategy == "one_shot" else [],
            "egress": sorted(row[3:9] for row in session.sql("SHOW EGRESS FOR MODEL g").fetchall()),
            "ledger": {name: noted(config) for name, config in league.items()},
        }


def noted(config: Path) -> list[tuple[Any, ...]]:
    path = SiloConfig.load(config).ledger
    assert verify(path, ()).problems == ()
    return [
        (e.kind, e.decision, e.reasons, e.cells, e.merged, e.customers, e.relation, e.shapes) for e in entries_of(path)
    ]


OPEN = ("min_customers = 3", RELATION, 40)
ACTIVE = ("min_customers = 20", QUERY, 16)


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
@pytest.mark.parametrize("gate", [OPEN, ACTIVE], ids=["open", "active"])
def test_a_silo_on_spark_gives_the_model_of_one_on_duckdb(
    spark: Any, tmp_path: Path, strategy: str, gate: tuple[str, str, int]
) -> None:
    least, publish, size = gate
    allowed = f'strategies = ["one_shot", "rounds"]\nexact_rounds = true\ninstall = "auto"\n{least}'
    rows = {"north": customers(1, (300, 200, 60)), "south": customers(2, (150, 90, size))}
    found = {}
    for which in ("duckdb", "spark"):
        (tmp_path / which).mkdir()
        league = {}
        for name, data in rows.items():
            folder = tmp_path / which / name
            engine = which if name == "south" else "duckdb"
            _ = lay(spark, folder, data) if engine == "spark" else on_duckdb(folder, data)
            league[name] = silo_toml(folder, engine=engine, publish=publish, policy=allowed)
        coordinator = spark if which == "spark" and gate is ACTIVE else None
        found[which] = trained(tmp_path / which / "w", league, strategy, coordinator)
    ours, theirs = found["spark"], found["duckdb"]
    assert np.array(ours["centroids"]) == pytest.approx(np.array(theirs["centroids"]), rel=1e-9, abs=1e-9)
    assert [row[0] for row in ours["measures"]] == [row[0] for row in theirs["measures"]]
    for mine, other in zip(ours["measures"], theirs["measures"], strict=True):
        assert None not in other
        assert mine[1:] == pytest.approx(other[1:], rel=1e-9)  # inertia among them
    assert ours["compare"] == theirs["compare"]
    assert ours["egress"] == theirs["egress"]
    assert ours["ledger"] == theirs["ledger"]
    merged = sum(entry[4] for entry in ours["ledger"]["south"] if entry[0] in ("summarize", "observe"))
    assert (merged > 0) == (gate is ACTIVE)
    refused = {code for entry in ours["ledger"]["south"] for code in entry[2] if entry[1] == "refused"}
    assert refused == ({"complementary"} if gate is ACTIVE and strategy == "rounds" else set())


def test_without_a_file_of_its_own_a_workspace_publishes_what_it_has(spark: Any, tmp_path: Path) -> None:
    workspace = lay(spark, tmp_path / "shop", customers(1, (60, 40, 0)))
    lay(spark, workspace, pa.table({"a": [1]}), "other")
    spark.sql("CREATE OR REPLACE TEMP VIEW theirs AS SELECT 'c' AS customer_id, 1.0 AS x")
    with hanse.connect(tmp_path / "w") as session:
        given = {"at": str(workspace), "master": MASTER}
        session.sql("CREATE SILO shop OPTIONS (engine = 'spark', workspace = $at, master = $master)", given)
        assert session.sql("SHOW SILOS").fetchall()[0][:3] == ("shop", "workspace", str(workspace))
        session.sql(
            "CREATE FEDERATED MODEL g OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) OVER SILOS (shop) AS "
            "SELECT spend, orders FROM features"
        )
    with Silo(SiloConfig.embedded("shop", Database(workspace, "spark", MASTER))) as silo:
        assert silo.relations() == [("shop", "features")]
    spark.sql("DROP VIEW theirs")
    assert verify(workspace / "spark.ledger", ()).problems == ()
    with hanse.connect(registry=workspace / "registry.sqlite") as store:
        assert [row[1] for row in store.sql("SHOW MODELS").fetchall()] == ["league.g"]


def test_each_store_of_a_relation_is_a_silo(shop: Path) -> None:
    silo_toml(shop.parent, publish=RELATION.replace("columns", 'store = "store"\ncolumns'))
    with opened(shop) as silo:
        ids = silo.ids()
        assert len(ids) == 2
        assert sorted(ask(silo, to=id_).statistics["count"] for id_ in ids) == [40.0, 60.0]
        for name in ("shop/nobody", "shop/b%27%20OR%201%3D1%20--%20", "shop/b%5C%27%20OR%201%3D1%20--%20"):
            assert codes(ask(silo, to=name)) == {"small"}


# -- what is done on Spark ----------------------------------------------------------------------


@pytest.fixture
def sent(spark: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is given to Spark."""
    texts: list[str] = []
    plain = type(spark).sql

    def noted(session: Any, text: str, *rest: Any, **options: Any) -> Any:
        texts.append(text)
        return plain(session, text, *rest, **options)

    monkeypatch.setattr(type(spark), "sql", noted)
    return texts


def test_the_agent_only_reads_and_no_text_of_a_task_reaches_spark(spark: Any, shop: Path, sent: list[str]) -> None:
    silo_toml(shop.parent, publish=QUERY)
    before, tables = hashes(shop.parent / "spark"), spark.sql("SHOW TABLES").collect()
    sent.clear()
    hostile = "x'; DROP TABLE features; --"
    with opened(shop) as silo:
        run_ = new_run()
        assert ask(silo, run=run_).status == "ok"
        assert ask(silo, "summarize", run=run_, payload={"clusters": 2}).status == "ok"
        for fields in (
            {"relation": hostile},
            {"relation": "`features`"},
            {"features": ("spend", hostile)},
            {"features": ("note",)},
            {"kind": "observe", "strategy": "rounds", "state": {"x": hostile}},
            {"kind": "evaluate", "payload": {"artifact": {"source_sql": hostile}}},
            {"to": f"shop/{hostile}"},
        ):
            given: dict[str, Any] = {"kind": "moments", **fields}
            assert ask(silo, **given).status != "ok"
    assert sent
    assert {text.split()[0] for text in sent} <= {"SELECT", "SHOW", "CREATE", "DROP"}
    changing = {" ".join(text.split()[:3]) for text in sent if text.startswith(("CREATE", "DROP"))}
    assert changing == {"CREATE TEMPORARY VIEW", "DROP VIEW IF"}
    assert [text for text in sent if "DROP TABLE" in text or "1=1" in text] == []
    copies = [text for text in sent if "FROM (SELECT" in text and "LIMIT" not in text]
    assert all("note" not in text for text in copies)
    assert hashes(shop.parent / "spark") == before
    assert spark.sql("SHOW TABLES").collect() == tables


def test_an_engine_for_reading_changes_nothing(spark: Any, shop: Path) -> None:
    before = hashes(shop.parent / "spark")
    engine = Spark(spark.newSession(), folder=shop.parent / "spark", read_only=True)
    assert engine.relations() == ["features"]
    for change in (
        lambda: engine.create_table(["features"], "SELECT 1 AS a", replace=True),
        lambda: engine.create_table(["more"], "SELECT 1 AS a"),
        lambda: engine.create_empty(["more"], ['"a" INT']),
        lambda: engine.create_view(["more"], [], "SELECT 1 AS a"),
        lambda: engine.insert(["features"], [], "SELECT * FROM features"),
        lambda: engine.drop(["features"]),
        lambda: engine.rows("DROP VIEW features"),
        lambda: engine.rows("INSERT INTO features SELECT * FROM features"),
        lambda: engine.rows("SET spark.sql.ansi.enabled = true"),
        lambda: engine.columns("CACHE TABLE features"),
    ):
        with pytest.raises(EngineError, match="this Spark session is for reading"):
            change()
    assert engine.rows("SELECT count(*) FROM features") == [(100,)]
    engine.close()
    assert hashes(shop.parent / "spark") == before


def test_rows_are_copied_a_few_partitions_at_a_time(
    spark: Any, shop: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.engines.spark._PORTION_ROWS", 300)
    engine = Spark(spark.newSession(), folder=shop.parent / "spark", read_only=True)
    whole = engine.copied("SELECT id, CAST(id AS STRING) AS t FROM range(0, 1000, 1, 10)").read_all()
    assert sorted(whole["id"].to_pylist()) == list(range(1000))
    assert len([text for text in sent if "BETWEEN" in text]) == 4
    assert engine.copied("SELECT id FROM range(0)").read_all().num_rows == 0
    with pytest.raises(EngineError, match="division by zero"):
        engine.copied("SELECT raise_error('division by zero') AS x FROM range(3)")
    engine.close()
    assert spark.sql("SHOW TABLES").collect() == []


def test_a_restarted_silo_needs_no_spark_to_go_on(spark: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ = new_run()
    with opened(shop) as silo:
        first = ask(silo, run=run_)
        for path in (shop.parent / "shop.silo" / "snapshots").iterdir():
            path.unlink()
    with opened(shop) as silo:  # the copy is gone, the rows are the same
        again = ask(silo, "summarize", run=run_, payload={"clusters": 1})
        assert (again.status, again.fingerprint) == ("ok", first.fingerprint)
    lay(spark, shop.parent, customers(1, (90, 0, 0)))
    monkeypatch.setattr("hanse.federation.database.Access._engine", lambda _: pytest.fail("the rows were asked for"))
    with opened(shop) as silo:
        kept = ask(silo, "summarize", run=run_, payload={"clusters": 2})
        assert (sum(kept.statistics["count"]), kept.fingerprint) == (100.0, first.fingerprint)


# -- what goes wrong ----------------------------------------------------------------------------


def test_a_silo_waits_for_who_may_write(shop: Path) -> None:
    loader = FolderTables(lambda _: None, shop.parent / "spark")
    with opened(shop) as silo:
        late = ask(silo, expires_at=time.time() + 0.1)
        assert (late.status, codes(late)) == ("failed", {"busy"})
        assert "in use by another process" in entries_of(silo.config.ledger)[-1].detail
        replies: list[Reply] = []
        asking = threading.Thread(target=lambda: replies.append(ask(silo)))
        asking.start()
        loader.close()
        asking.join()
        assert replies[0].statistics["count"] == 100.0


@pytest.mark.parametrize(
    ("publish", "message", "detail"),
    [
        (RELATION.replace('"features"', '"featurs"'), "its relation is missing", "no relation featurs: did you mean"),
        (RELATION.replace('"spend", ', '"spent", '), "column spent is missing", "did you mean spend?"),
        (RELATION.replace('"spend", ', '"note", '), "column note is no number", "column note is of type STRING"),
        (RELATION.replace('"customer_id"', '"client"'), "column client is missing", "column client does not exist"),
        (QUERY.replace("least = 1", "most = 1"), "its SQL does not run", "$least"),
    ],
)
def test_what_cannot_be_read_is_told_to_the_owner(shop: Path, publish: str, message: str, detail: str) -> None:
    silo_toml(shop.parent, publish=publish)
    with opened(shop) as silo:
        reply = ask(silo)
        assert (reply.status, codes(reply)) == ("failed", {"schema"})
        assert message in reply.message
        assert detail in entries_of(silo.config.ledger)[-1].detail
    with pytest.raises(HanseError) as caught:
        run("preview", "--config", str(shop))
    assert detail in str(caught.value)


def test_a_place_that_is_not_there(spark: Any, shop: Path, tmp_path: Path) -> None:
    silo_toml(shop.parent, workspace="elsewhere")
    with opened(shop) as silo:
        assert ask(silo).status == "failed"
        assert "elsewhere does not exist: check the path" in entries_of(silo.config.ledger)[-1].detail
    (tmp_path / "shop" / "elsewhere").mkdir()
    with opened(shop) as silo:
        ask(silo)
        assert "no relation features: there are none" in entries_of(silo.config.ledger)[-1].detail
    silo_toml(shop.parent)
    (shop.parent / "spark" / "tables.json").write_text("[]")
    with pytest.raises(WorkspaceError, match="cannot be read as a list of tables"):
        run("preview", "--config", str(shop))


def test_spark_runs_once_in_a_process(shop: Path, tmp_path: Path) -> None:
    silo_toml(shop.parent, master="local[7]")
    message = r"Spark runs in this process already, on local\[2\] and not on local\[7\]: write master = 'local\[2\]'"
    with pytest.raises(UsageError, match=message):
        run("preview", "--config", str(shop))
    with hanse.connect(tmp_path / "w") as session:
        session.sql(f"CREATE SILO shop OPTIONS (config = '{shop}')")
        with pytest.raises(UsageError, match=message):
            session.sql(
                "CREATE FEDERATED MODEL g OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) OVER SILOS (shop) AS "
                "SELECT spend, orders FROM features"
            )
        assert session.sql("SHOW MODELS").fetchall() == []


KEYS = [
    ('engine = "sparc"\ndatabase = "a.duckdb"', "engine = 'sparc': did you mean spark?"),
    (
        'engine = "spark"\ndatabase = "a.duckdb"',
        "database is for engine duckdb, and the engine is spark: write workspace",
    ),
    (
        'database = "a.duckdb"\nmaster = "local[2]"',
        "master is for engine spark, and the engine is duckdb, as none is given",
    ),
    (
        'engine = "duckdb"\ndatabase = "a.duckdb"\nremote = "sc://x"',
        "remote is for engine spark, and the engine is duckdb:",
    ),
    ('workspace = "."', "workspace is for engine spark, and the engine is duckdb, as none is given: write database"),
    ('engine = "spark"\nmaster = "local[2]"', "workspace is missing: write workspace = 'DIR' and either master"),
    ('engine = "spark"\nworkspace = "."', "engine spark needs one of master and remote"),
    (
        'engine = "spark"\nworkspace = "."\nmaster = "a"\nremote = "sc://x"',
        "engine spark needs one of master and remote",
    ),
    ('engine = "spark"\nworkspace = " "\nmaster = "a"', "workspace = ' ': need a text in quotes"),
    ("engine = 2", "engine = 2: need a text in quotes"),
    ('engine = "duckdb"', "database is missing: write database = 'file.duckdb'"),
]


@pytest.mark.parametrize(("keys", "message"), KEYS)
def test_keys_that_do_not_go_together(tmp_path: Path, keys: str, message: str) -> None:
    path = tmp_path / "silo.toml"
    path.write_text(f'name = "shop"\n{keys}\n')
    with pytest.raises(UsageError) as caught:
        SiloConfig.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    if "2: need" in message:
        return
    with hanse.connect() as session, pytest.raises(BindError) as refused:
        session.sql(f"CREATE SILO shop OPTIONS ({', '.join(keys.replace(chr(34), chr(39)).splitlines())})")
    assert message in str(refused.value)
    assert "line 1, column" in str(refused.value)


def without_spark(monkeypatch: pytest.MonkeyPatch, what: str, tmp_path: Path) -> str:
    if what == "pyspark":
        monkeypatch.setitem(sys.modules, "pyspark", None)
        return r"engine spark needs pyspark 4: pip install 'hanse\[spark\]'"
    if what == "connect":
        monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
        return r"Spark Connect \(sc://nowhere\) needs its client: pip install 'pyspark\[connect\]'"
    monkeypatch.setattr(spark_start, "_living", lambda: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    return r"needs Java 17 or later, and JAVA_HOME is .* docs/spark.md says how to get it"


@needs_spark
@pytest.mark.parametrize("what", ["pyspark", "connect", "java"])
def test_spark_that_is_not_installed(league: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    folder = league / "a"
    config = silo_toml(folder, publish=federation(folder) + RELATION)
    if what == "connect":
        config.write_text(config.read_text().replace(f'master = "{MASTER}"', 'remote = "sc://nowhere"'))
    message = without_spark(monkeypatch, what, tmp_path)
    for command in ("serve", "preview"):
        with pytest.raises(UsageError, match=message):
            run(command, "--config", str(config))
    with opened(config) as silo:
        reply = silo.answer(task("moments", new_run(), silo="a"))
        assert (reply.status, reply.message) == ("failed", "the silo could not answer; its own ledger says why")
        assert "pip install" in entries_of(silo.config.ledger)[-1].detail or what == "java"
    assert verify(folder / "a.ledger", ()).problems == ()
    run("policy", "check", "--config", str(config))
    run("installs", "--config", str(config))


DYING = """
import itertools, sys
from pyspark import SparkContext
from hanse.cli.silo import app
from hanse.engines.spark import Spark

copied, count = Spark.copied, itertools.count(1)

def dying(engine, sql):
    found = copied(engine, sql)
    if next(count) == 2:
        SparkContext._gateway.proc.kill()
        SparkContext._gateway.proc.wait()
    return found

Spark.copied = dying
app(args=sys.argv[1:], standalone_mode=False)()
"""


@pytest.mark.usefixtures("quick_spark")
def test_a_silo_is_served_and_goes_on_when_its_spark_dies_in_a_run(
    spark: Any, league: Path, broker: Broker, coordinator: Nats
) -> None:
    folder = league / "a"
    lay(spark, folder, customers(1, (60, 40, 0)))
    process, log = start(silo_toml(folder, master="local[1]", publish=federation(folder) + RELATION), DYING)
    log.wait("silo a is ready")

    def told(run: str, kind: Any = "moments", **more: Any) -> Reply:
        asked = task(kind, run, silo="a", features=("spend", "orders"), **more)
        (reply,) = coordinator.ask({"a": asked}, 60)
        return reply

    first, second = new_run(), new_run()
    assert told(first).statistics["count"] == 100
    copies = folder / "a.silo" / "snapshots"
    (copy,) = copies.iterdir()
    assert told(second).status == "failed"
    assert "the Spark session has ended" in entries_of(folder / "a.ledger")[-1].detail
    assert list(copies.iterdir()) == [copy]  # nothing of the second run
    assert told(first, "summarize", payload={"clusters": 1}).statistics["count"] == [100]  # needs no Spark
    last = told(second)  # Spark is started again
    assert last.statistics["count"] == 100
    process.terminate()
    assert process.wait() == 0
    assert verify(folder / "a.ledger", (last.ledger_head,)).problems == ()
    assert list((folder / "a.silo" / "spark").iterdir()) == []


# -- what the owner types -----------------------------------------------------------------------


def test_preview_and_check(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("preview", "--config", str(shop), "--format", "json")
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found["rows"], found["customers"]) == (100, 100)
    assert found["verdicts"] == {"moments": "leaves", "summarize": "leaves"}
    run("policy", "check", "--config", str(shop))
    shown = capsys.readouterr().out
    assert f"silo shop, tables of Spark in {shop.parent / 'spark'}, read with master local[2], ledger" in shown
    assert (
        str(Database(Path("w"), "spark", None, "sc://far:15002")) == "tables of Spark at sc://far:15002, registry in w"
    )
