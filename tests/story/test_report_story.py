"""Reports of real models: what the page shows is what SQL gives, and what cannot be reported says how it could be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cli_support import Invoke, invoker

import hanse
from hanse.errors import BindError, DataError, EngineError, HanseError, ModelNotFoundError, UsageError, WorkspaceError
from hanse.report.data import Report

FEATURES = ("avg_order_value", "total_orders")

TRAIN = """
    CREATE OR REPLACE MODEL {name}
    TRANSFORM (vector_assembler(array({features})) AS assembled, standard_scaler(assembled, true, true) AS features)
    OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters})
    AS SELECT * FROM {table}
"""


def customers(seed: int, prefix: str, spenders: int = 12) -> pa.Table:
    """Ordinary customers of two kinds, and a few who spend much."""
    random = np.random.default_rng(seed)
    groups = [((60, 3), (10, 1), 300), ((90, 9), (10, 1), 200), ((900, 4), (40, 1), spenders)]
    rows = np.concatenate([random.normal(mean, spread, (count, 2)) for mean, spread, count in groups])
    return pa.table(
        {
            "customer_id": [f"{prefix}{i:04d}" for i in range(len(rows))],
            "country": ["SE"] * len(rows),
            "avg_order_value": rows[:, 0],
            "total_orders": rows[:, 1],
            "visits": [i % 7 for i in range(len(rows))],
        }
    )


def fill(session: hanse.Session) -> None:
    """Two stores, a model each, and one of both."""
    for number, name in enumerate(("north", "south")):
        session.register("given", customers(number, name, spenders=0 if name == "north" else 12))
        session.sql(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM given").fetchall()
        session.sql(TRAIN.format(name=f"{name}_model", features=", ".join(FEATURES), clusters=3, table=name)).fetchall()
    session.sql("CREATE OR REPLACE TABLE both_stores AS SELECT * FROM north UNION ALL SELECT * FROM south").fetchall()
    session.sql(TRAIN.format(name="league", features=", ".join(FEATURES), clusters=4, table="both_stores")).fetchall()


@pytest.fixture
def filled(session: hanse.Session) -> hanse.Session:
    fill(session)
    return session


def test_a_report_says_what_sql_says(filled: hanse.Session, tmp_path: Path) -> None:
    report = filled.report("south_model", tmp_path / "report.html")
    (part,) = report.parts
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    query = "detect_anomalies(south_model, 1, SELECT * FROM south)"
    ((rows, anomalous),) = filled.sql(f"SELECT COUNT(*), SUM(CASE WHEN is_anomaly THEN 1 ELSE 0 END) FROM {query}")
    assert (part.customers, part.anomalous) == (rows, anomalous)
    best = [c for (c,) in filled.sql(f"SELECT customer_id FROM {query} WHERE is_anomaly ORDER BY anomaly_score DESC")]
    assert [c.name for c in part.listed] == best[: len(part.listed)]
    assert part.id_column == "customer_id"
    assert [f.name for f in part.features if f.trained] == list(FEATURES)
    assert [f.name for f in part.features if not f.trained] == ["visits"]
    ((mean, deviation),) = filled.sql("SELECT AVG(avg_order_value), STDDEV_POP(avg_order_value) FROM south")
    assert (part.features[0].mean, part.features[0].deviation) == pytest.approx((mean, deviation))
    ((silhouette,),) = filled.sql("SELECT silhouette FROM model_evaluate(south_model, 1, SELECT * FROM south)")
    assert part.silhouette == pytest.approx(silhouette)
    assert [c.is_anomaly for c in part.clusters] == [False, False, True]
    assert part.clusters[2].customers == 12
    assert all(customer.name in page for customer in part.listed)


def test_its_statements_give_the_same_again(filled: hanse.Session, tmp_path: Path) -> None:
    report = filled.report("south_model", tmp_path / "report.html", against="league")
    results = {s.title: filled.sql(s.sql).fetchall() for s in report.statements}
    assert results["The customers"] == [("hanse_report_customers", 512)]
    assert len(results["Local against global clusters"]) > 2


def test_nothing_is_left_behind(filled: hanse.Session, tmp_path: Path) -> None:
    before = filled.sql("SHOW TABLES").fetchall()
    filled.report("south_model", tmp_path / "report.html", against="league")
    assert filled.sql("SHOW TABLES").fetchall() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def _timeless(path: Path) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", "then", path.read_text(encoding="utf-8"))


def test_the_same_customers_give_the_same_page(filled: hanse.Session, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        filled.report("south_model", tmp_path / name, against="league")
    assert _timeless(tmp_path / "a.html") == _timeless(tmp_path / "b.html")


def test_two_stores_against_a_global_model(filled: hanse.Session, tmp_path: Path) -> None:
    report = filled.report(["north_model", "south_model"], tmp_path / "report.html", against="league")
    north, south = report.parts
    assert (north.customers, south.customers) == (500, 512)
    assert south.agreement is not None
    assert [f.finding for f in south.agreement.findings] == ["matched"]
    assert sum(cell.customers or 0 for cell in south.agreement.cells) == 512
    assert all(customer.global_cluster is not None for customer in south.listed)


def test_what_only_the_global_model_finds_is_listed(filled: hanse.Session, tmp_path: Path) -> None:
    """The north's own two clusters hold its three big spenders; the south's many make a cluster of them."""
    rich = (
        "SELECT * FROM north UNION ALL SELECT * FROM (SELECT * FROM south ORDER BY avg_order_value DESC LIMIT 3) AS s"
    )
    filled.sql(f"CREATE TABLE mixed AS {rich}").fetchall()
    filled.sql(
        TRAIN.format(name="mixed_model", features="total_orders, avg_order_value", clusters=2, table="north")
    ).fetchall()
    report = filled.report("mixed_model", tmp_path / "report.html", against="league", select="SELECT * FROM mixed")
    (part,) = report.parts
    assert part.agreement is not None
    assert part.agreement.gained == 3
    richest = [c for (c,) in filled.sql("SELECT customer_id FROM south ORDER BY avg_order_value DESC LIMIT 3")]
    assert sorted(c.name for c in part.gained) == sorted(richest)


def test_parameters_thresholds_and_versions(filled: hanse.Session, tmp_path: Path) -> None:
    text = "SELECT * FROM south WHERE total_orders > $least -- those who come back"
    report = filled.report(
        "south_model:1",
        tmp_path / "report.html",
        select=text,
        threshold=3.0,
        top=2,
        customer="CUSTOMER_ID",
        parameters={"least": 2},
    )
    (part,) = report.parts
    ((rows,),) = filled.sql("SELECT COUNT(*) FROM south WHERE total_orders > 2")
    assert part.customers == rows
    assert part.rule == "their anomaly score is above 3"
    assert len(part.listed) == 2


def test_customers_without_a_name_are_numbered(filled: hanse.Session, tmp_path: Path) -> None:
    (part,) = filled.report(
        "south_model", tmp_path / "r.html", select="SELECT country, avg_order_value, total_orders FROM south"
    ).parts
    assert part.id_column == ""
    assert part.listed[0].name == "row 1"


def test_names_may_hold_anything(session: hanse.Session, tmp_path: Path) -> None:
    given = customers(1, "x")
    odd = ['a`b "c"', "</script><b>", "order", "nummer 名", "x'y"]
    session.register("given", given.rename_columns([odd[0], odd[4], odd[1], odd[2], odd[3]]))
    session.sql("CREATE TABLE `my table` AS SELECT * FROM given").fetchall()
    session.sql(
        "CREATE MODEL `odd ``model``` TRANSFORM (vector_assembler(array(`</script><b>`, `order`)) f) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3, PREDICTION_COL = 'my group') AS SELECT * FROM `my table`"
    ).fetchall()
    (part,) = session.report("odd `model`", tmp_path / "r.html").parts
    assert part.id_column == odd[0]
    assert [f.name for f in part.features] == [odd[1], odd[2], odd[3]]
    assert "</script><b>" not in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["mahalanobis", "ecod"])
def test_a_model_that_scores_customers_by_themselves(filled: hanse.Session, tmp_path: Path, kind: str) -> None:
    filled.sql(
        f"CREATE MODEL scorer TRANSFORM (vector_assembler(array({', '.join(FEATURES)})) f) "
        f"OPTIONS (MODEL_TYPE = '{kind}') AS SELECT * FROM south"
    ).fetchall()
    (part,) = filled.report("scorer", tmp_path / "r.html").parts
    query = "detect_anomalies(scorer, 1, SELECT * FROM south)"
    ((anomalous,),) = filled.sql(f"SELECT COUNT(*) FROM {query} WHERE is_anomaly")
    assert part.grouped
    assert part.anomalous == anomalous > 0
    assert [(c.title, c.customers) for c in part.clusters] == [("ordinary", 512 - anomalous), ("anomalous", anomalous)]
    best = filled.sql(f"SELECT customer_id FROM {query} ORDER BY anomaly_score DESC LIMIT 1").fetchall()
    assert part.listed[0].name == best[0][0]


def test_a_model_that_finds_no_anomalies_is_refused(filled: hanse.Session, tmp_path: Path) -> None:
    filled.sql(
        "CREATE MODEL judge TRANSFORM (vector_assembler(array(visits)) f) "
        "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'rich') AS SELECT *, CASE WHEN total_orders > 5 THEN 1 ELSE 0 END "
        "AS rich FROM south"
    ).fetchall()
    with pytest.raises(DataError, match="model judge of type logistic_reg gives no anomaly score"):
        filled.report("judge", tmp_path / "r.html")


def test_few_customers_are_enough(filled: hanse.Session, tmp_path: Path) -> None:
    (part,) = filled.report("south_model", tmp_path / "r.html", select="SELECT * FROM south LIMIT 1").parts
    assert part.customers == 1
    assert part.picture is None
    assert part.silhouette is None


# -- what cannot be reported --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "error", "says"),
    [
        ({"models": "south_modle"}, ModelNotFoundError, "south_model"),
        ({"models": "south_model:9"}, ModelNotFoundError, "9"),
        ({"models": []}, UsageError, "name one"),
        ({"against": "leage"}, ModelNotFoundError, "league"),
        (
            {"select": "SELECT * FROM south WHERE false"},
            DataError,
            "--select gives no rows: there is nobody to report on",
        ),
        ({"select": "SELECT 1; SELECT 2"}, UsageError, "--select is select, select: need one SELECT"),
        ({"select": "DROP TABLE south"}, UsageError, "--select is drop_table: need one SELECT"),
        ({"select": ""}, UsageError, "--select is nothing: need one SELECT"),
        ({"select": "SELECT *\nFROM soth"}, HanseError, "south"),
        ({"select": "SELECT *\nFRM south"}, HanseError, "line 2"),
        ({"select": "SELECT * FROM south WHERE visits > $least"}, HanseError, "least"),
        ({"select": ["SELECT 1 AS a", "SELECT 2 AS a"]}, UsageError, "2 selects for 1 model: give one for each"),
        ({"select": "SELECT customer_id, avg_order_value FROM south"}, BindError, "total_orders"),
        ({"select": "SELECT *, 1 AS prediction FROM south"}, BindError, "prediction"),
        ({"customer": "customer"}, UsageError, "--id customer is not a column of the SELECT: "),
        ({"contamination": 0.0}, UsageError, "contamination = 0.0: need a share above 0"),
        ({"contamination": 0.1, "threshold": 2.0}, UsageError, "keep one"),
        ({"top": 0}, UsageError, "top = 0: need 1 to 1000"),
    ],
)
def test_what_is_wrong_is_said(filled: hanse.Session, tmp_path: Path, wish, error, says) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(error) as caught:
        filled.report(**{"models": "south_model", "path": path, **wish})
    assert says in str(caught.value)
    assert path.read_text() == "before"
    assert filled.sql("SELECT COUNT(*) FROM south").fetchall() == [(512,)]


def test_models_of_other_features_cannot_be_compared(filled: hanse.Session, tmp_path: Path) -> None:
    filled.sql(TRAIN.format(name="other", features="visits, total_orders", clusters=2, table="south")).fetchall()
    with pytest.raises(BindError, match="differ in their features"):
        filled.report("south_model", tmp_path / "r.html", against="other")


def test_a_file_that_cannot_be_written_is_found_before_the_work(filled: hanse.Session, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "r.html", "create it first"),
        (Path("a\0"), "path"),
    ):
        with pytest.raises(WorkspaceError, match=says):
            filled.report("south_model", path)


def test_rows_that_are_gone_are_named(filled: hanse.Session, tmp_path: Path) -> None:
    filled.sql("DROP TABLE south").fetchall()
    with pytest.raises(HanseError, match="the SELECT that model south_model was trained on"):
        filled.report("south_model", tmp_path / "r.html")


def test_a_model_without_its_select_asks_for_one(filled: hanse.Session, tmp_path: Path) -> None:
    import msgspec

    info, artifact = filled.registry.load("south_model", None)
    filled.registry.create("bare", msgspec.structs.replace(artifact, source_sql=""))
    with pytest.raises(UsageError, match="say whose customers to show, with --select"):
        filled.report("bare", tmp_path / "r.html")
    report = filled.report("bare", tmp_path / "r.html", select="SELECT * FROM south")
    assert isinstance(report, Report)
    assert info.name == "south_model"


def test_a_null_feature_is_named(filled: hanse.Session, tmp_path: Path) -> None:
    text = "SELECT customer_id, avg_order_value, CASE WHEN visits > 3 THEN total_orders END AS total_orders FROM south"
    with pytest.raises((DataError, EngineError), match="total_orders"):
        filled.report("south_model", tmp_path / "r.html", select=text)


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    with hanse.connect(tmp_path / "shop") as session:
        fill(session)
    return invoker(capfdbinary, monkeypatch, tmp_path)


def test_the_command_writes_and_says_where(cli: Invoke, tmp_path: Path) -> None:
    done = cli("report", "south_model", "--against", "league", "--table", "south", "-w", "shop", "-o", "out.html")
    assert done.code == 0, done.stderr
    assert re.fullmatch(r"\d+ of 512 customers stand out\. The report: out\.html\n", done.text)
    assert (tmp_path / "out.html").stat().st_size < 3_000_000


def test_the_command_says_the_cure(cli: Invoke, tmp_path: Path) -> None:
    for arguments, code, says in (
        (["report", "south_modle"], 2, "south_model"),
        (["report", "south_model", "--table", "soth"], 2, "south"),
        (["report", "south_model", "--table", "south", "--select", "SELECT 1"], 2, "give the one or the other"),
        (["report", "south_model", "-o", "no/r.html"], 1, "create it first"),
        (["report", "south_model", "--table", ""], 2, "name a table"),
    ):
        done = cli(*arguments, "-w", "shop")
        assert done.code == code, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    done = cli("report", "m", "-w", "nowhere")
    assert done.code == 1
    assert "hanse demo" in done.stderr
    assert not (tmp_path / "nowhere").exists()
