"""CREATE and UPDATE MODEL: names, modes, TRANSFORM and OPTIONS with all their values and places."""

from __future__ import annotations

import pytest
from sqlglot import exp

from hanse.errors import ParseError
from hanse.sql import nodes
from hanse.sql.nodes import CreateModel, Name, Option, TransformStep, UpdateModel
from hanse.sql.parser import parse


def create(text: str) -> CreateModel:
    (statement,) = parse(text)
    assert isinstance(statement, CreateModel)
    return statement


def options(text: str) -> dict[str, object]:
    return {option.key: option.value for option in create(f"CREATE MODEL m OPTIONS ({text}) AS SELECT 1").options}


@pytest.mark.parametrize(
    ("head", "mode"),
    [
        ("CREATE MODEL", "create"),
        ("create model if not exists", "if_not_exists"),
        ("CREATE OR REPLACE MODEL", "or_replace"),
    ],
)
def test_modes(head: str, mode: str) -> None:
    assert create(f"{head} m AS SELECT 1").mode == mode


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("m", ("m",)),
        ("`my model`", ("my model",)),
        ("league.g", ("league", "g")),
        ("`a.b`.名前", ("a.b", "名前")),
        ("date", ("date",)),
        ("Model", ("Model",)),
        ("`select`", ("select",)),
        ("``", None),
    ],
)
def test_names(written: str, parts: tuple[str, ...] | None) -> None:
    if parts is None:
        with pytest.raises(ParseError, match="empty name"):
            create(f"CREATE MODEL {written} AS SELECT 1")
        return
    name = create(f"CREATE MODEL {written} AS SELECT 1").name
    assert isinstance(name, Name)
    assert name.parts == parts
    assert name.text == ".".join(parts)
    assert name.position == (1, 14)


def test_query_and_its_text() -> None:
    statement = create("CREATE MODEL m OPTIONS (A = 1) AS\nWITH a AS (SELECT 1 AS x)\nSELECT * FROM a -- end\n;")
    assert statement.query_text == "WITH a AS (SELECT 1 AS x)\nSELECT * FROM a"
    assert [cte.alias for cte in statement.query.ctes] == ["a"]
    assert statement.query.parent is None


def test_a_query_in_parentheses_is_unwrapped() -> None:
    assert isinstance(create("CREATE MODEL m AS (SELECT 1 AS x)").query, exp.Select)


def test_update() -> None:
    (statement,) = parse("UPDATE MODEL m TRANSFORM (f(x) y) OPTIONS (SEED = 1) AS SELECT x FROM t")
    assert isinstance(statement, UpdateModel)
    assert statement.kind == "update_model"
    assert (statement.name.text, statement.options[0].key, statement.transform[0].alias) == ("m", "SEED", "y")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'text'", "text"),
        ('"text"', "text"),
        ("'it''s; -- no comment'", "it's; -- no comment"),
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("- 3", -3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e-4", 1e-4),
        ("-1.5E+3", -1500.0),
        ("10L", 10),
        ("0.5D", 0.5),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("auto", "auto"),
        ("`auto x`", "auto x"),
        ("array(1, -2.5, 'a')", (1, -2.5, "a")),
        ("[1, [2]]", (1, (2,))),
        ("[]", ()),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_values(written: str, value: object) -> None:
    found = options(f"KEY = {written}")["KEY"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("written", ["$p", "${p}", "'$p'", '"$p"'])
def test_parameters_as_values(written: str) -> None:
    value = options(f"KEY = {written}")["KEY"]
    assert isinstance(value, exp.Parameter)
    assert value.name == "p"


@pytest.mark.parametrize("written", ["'$p x'", "'a $p'", "'$'", "'$$p'"])
def test_a_string_that_only_contains_a_parameter_is_a_string(written: str) -> None:
    assert options(f"KEY = {written}")["KEY"] == written.strip("'")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("model_type", "MODEL_TYPE"),
        ("Type", "MODEL_TYPE"),
        ("max_iterations", "MAX_ITER"),
        ("REGPARAM", "REG_PARAM"),
        ("distance_type", "DISTANCE_MEASURE"),
        ("label", "LABEL"),
    ],
)
def test_keys_are_canonical(written: str, canonical: str) -> None:
    (option,) = create(f"CREATE MODEL m OPTIONS ({written} = 1) AS SELECT 1").options
    assert (option.key, option.raw_key) == (canonical, written.upper())


def test_type_beside_model_type_selects_the_algorithm() -> None:
    found = options("MODEL_TYPE = 'gaussian', TYPE = 'naive_bayes_classifier'")
    assert found == {"MODEL_TYPE": "naive_bayes_classifier", "MODEL_VARIANT": "gaussian"}


def test_options_know_where_they_stand() -> None:
    text = "CREATE MODEL m OPTIONS (\n  SEED = 2,\n  NUM_CLUSTERS =\n    0) AS SELECT 1"
    first, second = create(text).options
    assert isinstance(first, Option)
    assert (first.position, first.value_position) == ((2, 3), (2, 10))
    assert (second.position, second.value_position) == ((3, 3), (4, 5))


def test_clauses_come_in_either_order() -> None:
    one = create("CREATE MODEL m TRANSFORM (f(x) y) OPTIONS (A = 1) AS SELECT 1")
    other = create("CREATE MODEL m OPTIONS (A = 1) TRANSFORM (f(x) y) AS SELECT 1")
    assert one.transform[0].alias == other.transform[0].alias == "y"
    assert one.options[0].value == other.options[0].value == 1
    bare = create("CREATE MODEL m AS SELECT 1")
    assert (bare.transform, bare.options) == ((), ())


def test_transform_steps() -> None:
    first, second, third, fourth = create(
        "CREATE MODEL m TRANSFORM (\n Standard_Scaler(a.b[0], true) AS `s 1`,\n"
        " vector_assembler(array(`s 1`, x, -1.5)) features, word2Vec(t) w, bucketizer(x, array(0.0, 1)) as)\n"
        "AS SELECT 1".replace(" as)", " AS b)")
    ).transform
    assert isinstance(first, TransformStep)
    assert (first.function, first.alias, first.position) == ("standard_scaler", "s 1", (2, 2))
    assert first.alias_position == (2, 35)
    assert [argument.sql(dialect="spark") for argument in first.arguments] == ["a.b[0]", "TRUE"]
    assert isinstance(second.arguments[0], exp.Array)
    assert [item.name for item in second.arguments[0].expressions[:2]] == ["s 1", "x"]
    assert (third.function, third.alias) == ("word2vec", "w")
    assert len(fourth.arguments) == 2


def test_a_transform_may_have_no_arguments() -> None:
    (step,) = create("CREATE MODEL m TRANSFORM (f() AS y) AS SELECT 1").transform
    assert step.arguments == ()


def test_federated_statements() -> None:
    text = (
        "CREATE OR REPLACE FEDERATED MODEL `the g` TRANSFORM (vector_assembler(array(a)) f) OPTIONS (TYPE = 'kmeans') "
        "OVER SILOS (one, `Zwölf`) AS SELECT a FROM t"
    )
    (made, explained) = parse(f"{text}; EXPLAIN EGRESS {text}")
    assert isinstance(made, nodes.CreateFederatedModel)
    assert (str(made.name), made.mode, [str(s) for s in made.silos]) == ("the g", "or_replace", ["one", "Zwölf"])
    assert made.query_text == "SELECT a FROM t"
    assert isinstance(explained, nodes.ExplainEgress)
    assert explained.statement.silos[1].text == "Zwölf"
    assert [s.kind for s in parse("SHOW SILOS; DROP SILO a; SHOW EGRESS; SHOW EGRESS FOR MODEL m; RESUME MODEL m")] == [
        "show_silos",
        "drop_silo",
        "show_egress",
        "show_egress",
        "resume_model",
    ]
