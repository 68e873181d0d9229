"""Bad input: each kind has a message that says what, the value, where and the cure, and leaves everything as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from referee import scratch_tables, snapshot

import hanse
from hanse import errors
from hanse.models.catalog import ESTIMATORS

TYPES = [kind.model_type for kind in ESTIMATORS if kind.family == "clustering"]
every_type = pytest.mark.parametrize("model_type", TYPES)

NAN, INF = float("nan"), float("inf")

PLACE = "(statement at line 1, column 1)"


@pytest.fixture
def shop(session: hanse.Session) -> hanse.Session:
    """A session with ``points``, the model ``m`` over x and y, and a view."""
    session.register(
        "points",
        pa.table(
            {
                "id": [0, 1, 2, 3],
                "x": [0.5, 1.0, 9.0, 10.0],
                "y": [0.5, 1.0, 9.0, 10.0],
                "n": [1.0, None, 2.0, None],
                "na": [1.0, NAN, 2.0, 3.0],
                "inf": [1.0, 2.0, INF, -INF],
                "low": [1.0, -1.0, 2.0, 3.0],
                "t": ["a", "b", "c", "d"],
                "c": [5.0, 5.0, 5.0, 5.0],
                "seen": pa.array(np.arange(4), pa.timestamp("s")),
            }
        ),
    )
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x, y)) v) "
        "OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS SELECT x, y FROM points;"
        "CREATE TABLE kept AS SELECT 1 AS one; CREATE VIEW seen AS SELECT one FROM kept"
    )
    return session


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each failure tables, views and models are as they were."""
    if "shop" not in request.fixturenames:
        yield
        return
    shop = request.getfixturevalue("shop")
    before = snapshot(shop)
    yield
    assert snapshot(shop) == before
    assert scratch_tables(shop) == []


def refused(session: hanse.Session, statement: str, kind: type[Exception], *parts: str, **parameters: Any) -> str:
    """The message of a statement that must fail; it holds ``parts`` in this order."""
    with pytest.raises(errors.HanseError) as raised:
        session.sql(statement, parameters).fetchall()
    assert type(raised.value) is kind, raised.value
    message, at = str(raised.value), 0
    for part in parts:
        assert part in message[at:], message
        at = message.index(part, at) + len(part)
    return message


def training(model_type: str, select: str, features: str = "x, y", options: str = "") -> str:
    return (
        f"CREATE MODEL bad TRANSFORM (vector_assembler(array({features})) v) "
        f"OPTIONS (TYPE = '{model_type}'{options})\nAS SELECT {select}"
    )


# -- options -----------------------------------------------------------------------------------


def test_unknown_type(shop: hanse.Session) -> None:
    statement = "CREATE MODEL bad\nOPTIONS (MODEL_TYPE = 'kmean') AS SELECT x FROM points"
    refused(shop, statement, errors.BindError, "unknown MODEL_TYPE = 'kmean' at line 2, column 23: did you mean kmeans")


def test_a_type_that_is_not_there_yet(shop: hanse.Session) -> None:
    statement = "CREATE MODEL bad OPTIONS (MODEL_TYPE = 'lda') AS SELECT x FROM points"
    refused(
        shop,
        statement,
        errors.UnsupportedError,
        "MODEL_TYPE = 'lda' at line 1, column 40",
        "it trains bisecting_kmeans",
    )


@pytest.mark.parametrize("options", ["", "OPTIONS (NUM_CLUSTERS = 2) "])
def test_no_type(shop: hanse.Session, options: str) -> None:
    statement = f"CREATE MODEL bad {options}AS SELECT x FROM points"
    refused(shop, statement, errors.BindError, "no MODEL_TYPE at line 1, column 1: add OPTIONS (MODEL_TYPE = ")


@every_type
def test_unknown_option(shop: hanse.Session, model_type: str) -> None:
    message = f"unknown option NUM_CLUSTER of {model_type} at line 1, column"
    statement = training(model_type, "x, y FROM points", options=", NUM_CLUSTER = 2")
    refused(shop, statement, errors.BindError, message, "did you mean NUM_CLUSTERS?")


@every_type
@pytest.mark.parametrize("value", ["0", "1", "-2", "'x'", "2.5", "true", "NULL"])
def test_num_clusters_that_make_no_sense(shop: hanse.Session, model_type: str, value: str) -> None:
    shown = {"true": "True", "NULL": "None"}.get(value, value)
    statement = f"CREATE MODEL bad OPTIONS (TYPE = '{model_type}',\n NUM_CLUSTERS = {value}) AS SELECT x FROM points"
    refused(shop, statement, errors.BindError, f"NUM_CLUSTERS = {shown} at line 2, column 17: need 2 or more")


@every_type
def test_more_clusters_than_rows(shop: hanse.Session, model_type: str) -> None:
    statement = training(model_type, "x, y FROM points", options=", NUM_CLUSTERS = 5")
    wanted = "NUM_CLUSTERS = 5: the SELECT gives 4 rows; need at least as many rows as clusters"
    refused(shop, statement, errors.DataError, wanted, PLACE)
    statement = training(model_type, "x, y FROM points LIMIT 1", options=", NUM_CLUSTERS = 2")
    refused(shop, statement, errors.DataError, "NUM_CLUSTERS = 2: the SELECT gives 1 row; need", PLACE)


def test_an_option_given_twice(shop: hanse.Session) -> None:
    statement = "CREATE MODEL bad OPTIONS (TYPE = 'kmeans', SEED = 1, SEED = 2) AS SELECT x FROM points"
    refused(
        shop,
        statement,
        errors.ParseError,
        "SEED given twice at line 1, column 54",
        "the first stands at line 1, column 44",
    )


def test_two_names_of_one_option(shop: hanse.Session) -> None:
    statement = "CREATE MODEL bad OPTIONS (TYPE = 'kmeans', MAX_ITER = 1, MAX_ITERATIONS = 2) AS SELECT x FROM points"
    refused(shop, statement, errors.ParseError, "MAX_ITER", "at line 1, column 58: keep one")


# -- parameters, columns, tables, functions ----------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("SELECT x FROM points WHERE x > $lo", "line 1, column 32"),
        ("SELECT x FROM points WHERE t = '$lo'", "line 1, column 32"),
        ("CREATE MODEL bad OPTIONS (TYPE = 'kmeans', NUM_CLUSTERS = $lo) AS SELECT x FROM points", "line 1, column 59"),
        ("CREATE MODEL bad OPTIONS (TYPE = 'kmeans') AS SELECT x\nFROM points WHERE x > $lo", "line 2, column 23"),
        ("SELECT * FROM model_predict(m, $lo, SELECT x, y FROM points)", "line 1, column 32"),
    ],
)
def test_a_missing_parameter(shop: hanse.Session, statement: str, place: str) -> None:
    refused(shop, statement, errors.BindError, f"parameter $lo has no value at {place}: ", "--param lo=")
    refused(shop, statement, errors.BindError, f"parameter $lo has no value at {place}: did you mean low?", low=1)


@pytest.mark.parametrize(
    "function", ["model_predict(m, 1, SELECT {} FROM points)", "model_evaluate(m, 1, SELECT {} FROM points)"]
)
def test_an_unknown_column_in_a_function(shop: hanse.Session, function: str) -> None:
    statement = "SELECT * FROM " + function.format("xx, y")
    refused(shop, statement, errors.BindError, "unknown column xx at line 1, column", "did you mean x?")


def test_unknown_columns_tables_and_functions_in_training(shop: hanse.Session) -> None:
    refused(
        shop,
        training("kmeans", "xx, y FROM points"),
        errors.BindError,
        "unknown column xx at line 2, column 11: did you",
    )
    refused(
        shop,
        training("kmeans", "x, y FROM pionts"),
        errors.BindError,
        "unknown table pionts at line 2, column 21: did you mean points?",
    )
    refused(
        shop,
        training("kmeans", "sqroot(x) FROM points"),
        errors.BindError,
        "unknown function sqroot at line 2, column 11: did you mean sqrt?",
    )
    statement = training("kmeans", "x, y FROM points", features="x, z")
    refused(shop, statement, errors.BindError, "unknown column z in vector_assembler at line 1, column 29: valid: x, y")


def test_an_unknown_table_function(shop: hanse.Session) -> None:
    statement = "SELECT * FROM model_predct(m, 1, SELECT x, y FROM points)"
    refused(
        shop,
        statement,
        errors.BindError,
        "unknown table function model_predct at line 1, column 15: did you mean model_predict",
    )


def test_an_unknown_setting(shop: hanse.Session) -> None:
    refused(
        shop,
        "SET strict_bindings = true",
        errors.BindError,
        "unknown setting strict_bindings at line 1, column 5: did you mean strict_binding?",
    )
    refused(
        shop, "SET strict_binding = 3", errors.BindError, "strict_binding = 3 at line 1, column 22: need true or false"
    )


# -- models and versions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE MODEL mm OPTIONS (TYPE = 'kmeans') AS SELECT x FROM points",
        "DROP MODEL mm",
        "DESCRIBE MODEL mm",
        "EXPORT MODEL mm TO 'x.json'",
    ],
)
def test_an_unknown_model(shop: hanse.Session, statement: str) -> None:
    refused(shop, statement, errors.ModelNotFoundError, "no model mm: did you mean m?", PLACE)


@pytest.mark.parametrize("statement", ["DROP MODEL m 7", "DESCRIBE MODEL m 7", "EXPORT MODEL m 7 TO 'x.json'"])
def test_an_unknown_version(shop: hanse.Session, statement: str) -> None:
    refused(shop, statement, errors.ModelNotFoundError, "no version 7 of model m: it has 1", PLACE)


@pytest.mark.parametrize(
    "function",
    [
        "model_predict({}, SELECT x, y FROM points)",
        "model_evaluate({}, SELECT x, y FROM points)",
        "model_centroids({})",
    ],
)
def test_an_unknown_model_or_version_in_a_function(shop: hanse.Session, function: str) -> None:
    statement = "SELECT * FROM " + function
    refused(shop, statement.format("mm, 1"), errors.BindError, "no model mm: did you mean m? at line 1, column")
    refused(shop, statement.format("m, 2"), errors.BindError, "no version 2 of model m: it has 1 at line 1, column")
    refused(
        shop,
        statement.format("m, 0"),
        errors.ParseError,
        "version 0 at line 1, column",
        "need a whole number, 1 or more",
    )
    refused(
        shop, statement.format("m, $v"), errors.BindError, "version 'one'", "need a whole number of 1 or more", v="one"
    )


def test_a_name_that_is_taken(shop: hanse.Session) -> None:
    statement = "CREATE MODEL m OPTIONS (TYPE = 'kmeans') AS SELECT x FROM points"
    refused(
        shop,
        statement,
        errors.ModelExistsError,
        "model m exists already: use CREATE OR REPLACE MODEL",
        "UPDATE MODEL",
        PLACE,
    )


def test_a_failing_replacement_keeps_the_old_model(shop: hanse.Session) -> None:
    for start in ("CREATE OR REPLACE", "UPDATE"):
        statement = f"{start} MODEL m OPTIONS (TYPE = 'kmeans', NUM_CLUSTERS = 99) AS SELECT x FROM points"
        refused(shop, statement, errors.DataError, "NUM_CLUSTERS = 99", "4 rows")


# -- rows --------------------------------------------------------------------------------------


@every_type
@pytest.mark.parametrize(
    ("features", "named"),
    [
        ("x, n", "n (2 of 4 rows)"),
        ("na, x", "na (1 of 4 rows)"),
        ("inf, x", "inf (2 of 4 rows)"),
        ("n, x, na, inf", "n (2 of 4 rows), na (1 of 4 rows), inf (2 of 4 rows)"),
    ],
)
def test_features_that_are_no_numbers_in_training(
    shop: hanse.Session, model_type: str, features: str, named: str
) -> None:
    statement = training(model_type, "* FROM points", features=features)
    refused(shop, statement, errors.DataError, f"NULL or non-finite features: {named}: ", "numeric_imputer", PLACE)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ("n AS x, y", "x (2 of 4 rows)"),
        ("x, na AS y", "y (1 of 4 rows)"),
        ("inf AS x, n AS y", "x (2 of 4 rows), y (2 of 4 rows)"),
        ("n AS a, inf AS b", "a (2 of 4 rows), b (2 of 4 rows)"),  # bound by position
    ],
)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM model_predict(m, 1, SELECT {} FROM points)",
        "SELECT prediction, count(*) FROM model_predict(m, 1, SELECT {} FROM points) GROUP BY prediction",
        "CREATE TABLE made AS SELECT * FROM model_predict(m, 1, SELECT {} FROM points)",
        "INSERT INTO kept SELECT prediction FROM model_predict(m, 1, SELECT {} FROM points)",
        "SELECT * FROM model_evaluate(m, 1, SELECT {} FROM points)",
    ],
)
def test_features_that_are_no_numbers_in_prediction(
    shop: hanse.Session, statement: str, columns: str, named: str
) -> None:
    message = f"NULL or non-finite features: {named}: filter these rows out in the SELECT"
    refused(shop, statement.format(columns), errors.DataError, message, PLACE)


@every_type
@pytest.mark.parametrize(
    "transform", ["", "TRANSFORM (vector_assembler(array(x)) v) ", "TRANSFORM (standard_scaler(x) v) "]
)
def test_an_empty_select(shop: hanse.Session, model_type: str, transform: str) -> None:
    statement = f"CREATE MODEL bad {transform}OPTIONS (TYPE = '{model_type}') AS SELECT x FROM points WHERE x > 99"
    refused(shop, statement, errors.DataError, "the SELECT gives no rows: there is nothing to train on", PLACE)


def test_an_empty_select_in_evaluation(shop: hanse.Session) -> None:
    statement = "SELECT * FROM model_evaluate(m, 1, SELECT x, y FROM points WHERE x > 99)"
    refused(shop, statement, errors.DataError, "the SELECT gives no rows: there is nothing to evaluate m on", PLACE)


def test_features_that_are_text(shop: hanse.Session) -> None:
    for function in ("model_predict", "model_evaluate"):
        statement = f"SELECT * FROM {function}(m, 1, SELECT t AS x, y FROM points)"
        refused(shop, statement, errors.BindError, "feature x of model m is text at line 1, column 15: need a number")
        statement = f"SELECT * FROM {function}(m, 1, SELECT seen AS x, y FROM points)"
        refused(
            shop,
            statement,
            errors.BindError,
            "feature x of model m is of type TIMESTAMP",
            "at line 1, column 15: need a number",
        )
        statement = f"SELECT * FROM {function}(m, 1, SELECT t AS a, y AS b FROM points)"
        refused(shop, statement, errors.BindError, "is text at line 1, column 15: need a number")


def test_features_that_do_not_bind(shop: hanse.Session) -> None:
    for function in ("model_predict", "model_evaluate"):
        statement = f"SELECT * FROM {function}(m, 1, SELECT x, c FROM points)"
        refused(
            shop,
            statement,
            errors.BindError,
            "model m needs column y at line 1, column 15: x matches, the rest must too",
        )
        statement = f"SELECT * FROM {function}(m, 1, SELECT c AS a, c AS b, c FROM points)"
        refused(
            shop,
            statement,
            errors.BindError,
            "model m needs columns x, y at line 1, column 15: the SELECT gives 3 columns for 2 features",
        )


@every_type
def test_large_numbers(shop: hanse.Session, model_type: str) -> None:
    statement = training(model_type, "x * 1e200 AS x, y FROM points")
    refused(
        shop, statement, errors.DataError, "feature x: numbers above 1e+150, whose squares overflow: scale them", PLACE
    )


@every_type
def test_rows_without_a_direction(shop: hanse.Session, model_type: str) -> None:
    statement = training(model_type, "x - 1.0 AS x, y - 1.0 AS y FROM points", options=", DISTANCE_MEASURE = 'cosine'")
    message = "cosine distance: 1 of 4 rows are 0 in every feature, which is no direction: filter these rows out"
    refused(shop, statement, errors.DataError, message, "use DISTANCE_MEASURE = 'euclidean'", PLACE)


@every_type
@pytest.mark.parametrize("function", ["model_evaluate", "model_predict"])
def test_rows_without_a_direction_in_prediction(session: hanse.Session, model_type: str, function: str) -> None:
    session.sql(
        f"CREATE MODEL m OPTIONS (TYPE = '{model_type}', NUM_CLUSTERS = 2, DISTANCE_MEASURE = 'cosine') AS "
        "SELECT * FROM VALUES (1.0, 2.0), (2.0, 1.0), (2.0, 1.5) AS t(x, y)"
    )
    statement = f"SELECT * FROM {function}(m, 1, SELECT * FROM VALUES (0.0, 0.0), (1.0, 0.0), (0.0, 0.0) AS t(x, y))"
    refused(session, statement, errors.DataError, "cosine distance: 2 of 3 rows are 0 in every feature")
    assert scratch_tables(session) == []


@every_type
def test_constant_features_are_named(session: hanse.Session, model_type: str) -> None:
    session.register("points", pa.table({"x": [1.0, 2.0, 9.0], "c": [0.1] * 3, "d": [7.0] * 3}))
    made = session.sql(
        f"CREATE MODEL m OPTIONS (TYPE = '{model_type}', NUM_CLUSTERS = 2) AS SELECT x, c, d FROM points"
    )
    (warning,) = made.warnings
    assert warning.startswith("constant features c, d: ")
    assert "no effect" in warning
    made = session.sql(f"CREATE MODEL n OPTIONS (TYPE = '{model_type}', NUM_CLUSTERS = 2) AS SELECT c FROM points")
    assert made.warnings[0].startswith("constant feature c: ")
    assert made.warnings[1:] == ["NUM_CLUSTERS = 2, found 1: no further cluster can be divided"]


# -- column names ------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["x, x", "x, y AS x", "x AS `größe`, y AS `größe`"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE MODEL bad OPTIONS (TYPE = 'kmeans') AS SELECT {} FROM points",
        "SELECT * FROM model_predict(m, 1, SELECT {} FROM points)",
        "SELECT * FROM model_evaluate(m, 1, SELECT {} FROM points)",
        "CREATE TABLE bad AS SELECT {} FROM points",
    ],
)
def test_two_columns_of_one_name(shop: hanse.Session, statement: str, columns: str) -> None:
    name = "größe" if "größe" in columns else "x"
    with pytest.raises(errors.HanseError) as raised:
        shop.sql(statement.format(columns))
    message = str(raised.value)
    assert f"two columns called {name}" in message
    assert "AS" in message


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE MODEL bad OPTIONS (TYPE = 'kmeans') AS SELECT x, y AS X FROM points",
        "CREATE MODEL bad TRANSFORM (vector_assembler(array(x)) v) OPTIONS (TYPE = 'kmeans') AS SELECT x, y AS X FROM points",
        "SELECT * FROM model_predict(m, 1, SELECT x, y, id AS X FROM points)",
        "SELECT * FROM model_evaluate(m, 1, SELECT x, y, id AS X FROM points)",
        "CREATE TABLE bad TRANSFORM (standard_scaler(x) z) AS SELECT x, y AS X FROM points",
    ],
)
def test_two_columns_that_differ_in_case_only(shop: hanse.Session, statement: str) -> None:
    message = "the SELECT gives two columns called x and X, which are one name: give each a name of its own"
    refused(shop, statement, errors.DataError, message, PLACE)


def test_a_column_called_like_the_prediction(shop: hanse.Session) -> None:
    for name in ("prediction", "PREDICTION"):
        statement = f"SELECT * FROM model_predict(m, 1, SELECT x, y, id AS {name} FROM points)"
        message = f"the SELECT has a column {name}, as the prediction of model m is called at line 1, column 15: "
        refused(shop, statement, errors.BindError, message, "give it another name with AS")


# -- weights -----------------------------------------------------------------------------------


@every_type
@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (
            "lows",
            errors.BindError,
            "WEIGHT_COL = 'lows' is not a column of the SELECT at line 1, column {}: did you mean low?",
        ),
        ("t", errors.BindError, "WEIGHT_COL = 't' is of type {text} at line 1, column {}: need a number"),
        (
            "low",
            errors.DataError,
            "WEIGHT_COL = 'low': 1 of 4 rows have a weight that is NULL, negative or not finite: filter",
        ),
        (
            "n",
            errors.DataError,
            "WEIGHT_COL = 'n': 2 of 4 rows have a weight that is NULL, negative or not finite: filter",
        ),
        ("inf", errors.DataError, "WEIGHT_COL = 'inf': 2 of 4 rows have a weight"),
        ("zero", errors.DataError, "the weights sum to 0; need more than 0"),
    ],
)
def test_weights(shop: hanse.Session, model_type: str, column: str, kind: type[Exception], message: str) -> None:
    select = "x, y, t, n, low, inf, 0 AS zero FROM points"
    statement = training(model_type, select, options=f", WEIGHT_COL = '{column}'")
    text = "VARCHAR" if shop.engine.dialect == "duckdb" else "STRING"
    refused(shop, statement, kind, message.format(statement.index(f"'{column}'") + 1, text=text))


# -- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE kep", "unknown table kep at line 1, column 12: did you mean kept?"),
        ("DROP VIEW kept", "kept is a table at line 1, column 11: write DROP TABLE"),
        ("DROP TABLE seen", "seen is a view at line 1, column 12: write DROP VIEW"),
        (
            "CREATE TABLE kept AS SELECT 2 AS two",
            "table kept exists already at line 1, column 14: DROP TABLE it first, or write",
        ),
        (
            "CREATE VIEW seen AS SELECT 2 AS two",
            "view seen exists already at line 1, column 13: DROP VIEW it first, or write",
        ),
        ("INSERT INTO kep SELECT 2", "unknown table kep at line 1, column 13: did you mean kept?"),
        ("INSERT INTO kept SELECT 2, 3", "INSERT gives 2 columns, kept takes 1 at line 1, column 13: give as many"),
        ("INSERT INTO kept (two) SELECT 2", "unknown column two of kept at line 1, column 19: valid: one"),
        ("CREATE TABLE made AS SELECT nothing FROM kept", "unknown column nothing at line 1, column 29: valid: one"),
        (
            "CREATE OR REPLACE TABLE kept AS SELECT nothing FROM kept",
            "unknown column nothing at line 1, column 40: valid: one",
        ),
        ("DESCRIBE kep", "unknown table kep at line 1, column 10: did you mean kept?"),
    ],
)
def test_tables_and_views(shop: hanse.Session, statement: str, message: str) -> None:
    refused(shop, statement, errors.BindError, message)


def test_a_script_stops_at_the_first_error_and_keeps_what_was_done(session: hanse.Session) -> None:
    script = (
        "CREATE TABLE a AS SELECT 1 AS one; CREATE TABLE b AS SELECT nothing FROM a;\nCREATE TABLE c AS SELECT 1 AS one"
    )
    with pytest.raises(errors.BindError, match="unknown column nothing at line 1, column 61"):
        list(session.run(script))
    assert session.engine.relations() == ["a"]


def test_a_syntax_error_anywhere_runs_nothing(session: hanse.Session) -> None:
    with pytest.raises(errors.ParseError, match="line 2, column"):
        list(session.run("CREATE TABLE a AS SELECT 1 AS one;\nCREATE TABEL b AS SELECT 1"))
    assert session.engine.relations() == []


@pytest.mark.parametrize("text", ["", "  \n", "-- nothing", ";;"])
def test_nothing_to_run(shop: hanse.Session, text: str) -> None:
    refused(shop, text, errors.UsageError, "no statement to run")


# -- files -------------------------------------------------------------------------------------


def test_export_to_a_path_that_cannot_be_written(shop: hanse.Session, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "m.json"
    refused(shop, "EXPORT MODEL m TO $f", errors.WorkspaceError, str(missing), "folder does not exist", f=str(missing))
    refused(shop, "EXPORT MODEL m TO $f", errors.WorkspaceError, str(tmp_path), "folder", f=str(tmp_path))
    refused(shop, "EXPORT MODEL m TO ''", errors.WorkspaceError, "'' is not a path: name a file")
    refused(shop, "EXPORT MODEL m TO $f", errors.BindError, "file 3", "need a path in quotes", f=3)
    assert list(tmp_path.iterdir()) == []


def test_import_of_what_is_not_there(shop: hanse.Session, tmp_path: Path) -> None:
    missing = tmp_path / "m.json"
    refused(shop, "IMPORT MODEL bad FROM $f", errors.WorkspaceError, str(missing), "no such file", f=str(missing))
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, str(tmp_path), "saved no model", f=str(tmp_path))


def test_import_under_a_name_that_is_taken(shop: hanse.Session, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    shop.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    refused(shop, "IMPORT MODEL m FROM $f", errors.ModelExistsError, "model m exists already", f=str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("not json", "is not JSON"),
        ('{"schema_version": 1', "is not JSON"),
        ("[1, 2]", "is not a model"),
        ("{}", "has no schema_version"),
        ('{"schema_version": 99}', "was made by a newer Hanse"),
        ('{"schema_version": 1}', "missing required field"),
    ],
)
def test_import_of_a_foreign_file(shop: hanse.Session, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "m.json"
    file.write_text(text)
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, str(file), message, f=str(file))


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x00" * 100, "größe".encode("latin-1")])
def test_import_of_bytes_that_are_no_text(shop: hanse.Session, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.json"
    file.write_bytes(data)
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, str(file), f=str(file))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model_type",), "magic"),
        (("model",), {}),
        (("model", "clusters"), []),
        (("model", "clusters", 0, "centroid"), [1.0]),
        (("model", "clusters", 0, "centroid"), "far"),
        (("model", "clusters", 0, "count"), None),
        (("model", "features"), None),
        (("model", "splits"), 7),
        (("model", "splits"), {"normal": [1.0, 1.0]}),
        (("model", "splits", "normal"), [1.0]),
        (("model", "splits", "offset"), "far"),
        (("model", "splits", "sides"), [0]),
        (("model", "origin"), [1.0]),
        (("model", "distance_measure"), "manhattan"),
        (("transforms", 0, "function"), "magic"),
        (("transforms", 0, "inputs"), None),
        (("features",), ["x", "x"]),
    ],
    ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else None,
)
def test_import_of_a_broken_model(shop: hanse.Session, tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    file = tmp_path / "m.json"
    shop.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    data = json.loads(file.read_text())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(data))
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, f=str(file))


def test_import_of_a_model_of_an_older_hanse(shop: hanse.Session, tmp_path: Path) -> None:
    """Its splits are written otherwise, and read as they are now they would label rows wrongly."""
    file = tmp_path / "m.json"
    shop.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    data = json.loads(file.read_text())
    del data["model"]["origin"]
    file.write_text(json.dumps({**data, "schema_version": 2}))
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, "an older Hanse: train it again", f=str(file))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_import_of_numbers_that_are_not_finite(shop: hanse.Session, tmp_path: Path, number: str) -> None:
    file = tmp_path / "m.json"
    shop.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    data = json.loads(file.read_text())
    data["model"]["clusters"][0]["centroid"][0] = "HERE"
    file.write_text(json.dumps(data).replace('"HERE"', number))
    refused(shop, "IMPORT MODEL bad FROM $f", errors.ArtifactError, str(file), f=str(file))
