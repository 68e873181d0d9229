"""Transforms: what they learn and what they make of it, against scikit-learn and NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.errors import ArtifactError, BindError, DataError, Position, UnsupportedError
from hanse.estimator import Observation
from hanse.statistics import Statistics
from hanse.transforms.base import Column, Element, StepSpec
from hanse.transforms.chain import KNOWN, TRANSFORMS, Chain, fit_chain, inputs_of

AT = Position(2, 3)
NAN = float("nan")


class Table:
    """Rows of an engine as transforms see them."""

    def __init__(self, engine: DuckDB, columns: dict[str, Any]) -> None:
        self.engine = engine
        self.kinds = {name: "text" if pa.types.is_string(pa.array(v).type) else "number" for name, v in columns.items()}
        engine.register("given", pa.table({**columns, "row": np.arange(len(next(iter(columns.values()))))}))

    def observe(self, observation: Observation) -> Statistics:
        return self.engine.observe("given", observation)

    def median(self, value: e.Expression) -> float | None:
        return self.engine.rows(f"SELECT median({self.engine.text(value)}) FROM given")[0][0]  # type: ignore[no-any-return]

    def frequencies(self, value: e.Expression) -> list[tuple[Any, int]]:
        return self.engine.rows(f"SELECT {self.engine.text(value)}, count(*) FROM given GROUP BY 1")

    def columns(self) -> dict[str, Column]:
        return {n.lower(): Column((Element(n, e.column(n), kind),)) for n, kind in self.kinds.items()}

    def fit(self, *specs: StepSpec) -> Chain:
        return fit_chain(specs, self.columns(), self)

    def apply(self, chain: Chain) -> np.ndarray[Any, Any]:
        """(n, d) the last step's elements; NULL is NaN."""
        elements = chain.features(self.columns()).elements
        listed = ", ".join(f"{self.engine.text(x.expression)} AS {e.quote(f'o{i}')}" for i, x in enumerate(elements))
        rows = self.engine.rows(f"SELECT {listed} FROM given ORDER BY row")
        return np.array([[NAN if v is None else v for v in row] for row in rows], dtype=np.float64)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    opened = DuckDB(threads=1)
    yield opened
    opened.close()


def step(function: str, inputs: Sequence[str] | str, *parameters: Any, alias: str = "out") -> StepSpec:
    return StepSpec(function, (inputs,) if isinstance(inputs, str) else tuple(inputs), parameters, alias, AT)


VALUES = np.random.default_rng(1).normal(size=200) ** 3 * 50 + 10
GAPS = np.where(np.arange(200) % 7 == 0, NAN, np.round(VALUES))


# -- scalers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e6, 1.7e9])
@pytest.mark.parametrize(
    ("parameters", "with_std", "with_mean"),
    [((), True, False), ((True, True), True, True), ((False, True), False, True), ((False, False), False, False)],
)
def test_standard_scaler(
    engine: DuckDB, offset: float, parameters: tuple[bool, ...], with_std: bool, with_mean: bool
) -> None:
    x = VALUES + offset
    table = Table(engine, {"x": x})
    expected = (x - x.mean() if with_mean else x) / (x.std(ddof=1) if with_std else 1.0)  # as Spark: sample deviation
    found = table.apply(table.fit(step("standard_scaler", "x", *parameters)))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9, atol=1e-6 if offset else 1e-12)


def test_standard_scaler_of_a_vector_scales_each_element(engine: DuckDB) -> None:
    table = Table(engine, {"x": VALUES, "y": VALUES**2 + 1e6})
    chain = table.fit(
        step("vector_assembler", ["x", "y"], alias="v"), step("standard_scaler", "v", True, True, alias="out")
    )
    found = table.apply(chain)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(found.std(axis=0, ddof=1), 1.0, rtol=1e-9)
    assert chain.features(table.columns()).vector


def test_a_column_without_spread_becomes_zero(engine: DuckDB) -> None:
    table = Table(engine, {"x": [3.0, 3.0, 3.0]})
    assert table.apply(table.fit(step("standard_scaler", "x"))).tolist() == [[0.0]] * 3
    table = Table(engine, {"x": [3.0]})
    assert table.apply(table.fit(step("standard_scaler", "x", True, True))).tolist() == [[0.0]]


def test_scalers_learn_from_what_is_known(engine: DuckDB) -> None:
    table = Table(engine, {"x": [1.0, None, NAN, float("inf"), 3.0]})
    found = table.apply(table.fit(step("standard_scaler", "x", True, True)))[:, 0]
    np.testing.assert_allclose(found[[0, 4]], [-np.sqrt(0.5), np.sqrt(0.5)])
    assert not np.isfinite(found[1:4]).any()  # and let through what is not, for training to count
    found = table.apply(table.fit(step("min_max_scaler", "x")))[:, 0]
    np.testing.assert_allclose(found[[0, 4]], [0.0, 1.0])
    assert not np.isfinite(found[1:4]).any()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (10.0, 20.5)])
def test_min_max_scaler(engine: DuckDB, low: float, high: float) -> None:
    table = Table(engine, {"x": VALUES})
    given = () if (low, high) == (0.0, 1.0) else (low, high)
    expected = MinMaxScaler((low, high)).fit_transform(VALUES[:, None])
    np.testing.assert_allclose(
        table.apply(table.fit(step("min_max_scaler", "x", *given))), expected, rtol=1e-9, atol=1e-9
    )


def test_min_max_scaler_without_spread_gives_the_middle(engine: DuckDB) -> None:
    table = Table(engine, {"x": [3.0, 3.0]})
    assert table.apply(table.fit(step("min_max_scaler", "x", 0, 10))).tolist() == [[5.0], [5.0]]


# -- imputers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "theirs"), [("mean", "mean"), ("median", "median"), ("mode", "most_frequent")])
def test_numeric_imputer(engine: DuckDB, strategy: str, theirs: str) -> None:
    table = Table(engine, {"x": pa.array(GAPS, from_pandas=True)})
    expected = SimpleImputer(strategy=theirs).fit_transform(GAPS[:, None])
    chain = table.fit(step("numeric_imputer", "x", strategy))
    np.testing.assert_allclose(table.apply(chain), expected, rtol=1e-12)


def test_numeric_imputer_fills_null_nan_and_infinity(engine: DuckDB) -> None:
    table = Table(engine, {"x": [None, NAN, float("inf"), float("-inf"), 1.0, 3.0]})
    assert table.apply(table.fit(step("numeric_imputer", "x")))[:, 0].tolist() == [2.0, 2.0, 2.0, 2.0, 1.0, 3.0]


def test_the_mode_of_equally_frequent_numbers_is_the_smallest(engine: DuckDB) -> None:
    table = Table(engine, {"x": [5.0, 5.0, 2.0, 2.0, 9.0, None]})
    assert table.apply(table.fit(step("numeric_imputer", "x", "Mode")))[-1].tolist() == [2.0]


@pytest.mark.parametrize("strategy", ["mean", "median", "mode"])
def test_a_column_without_numbers_cannot_be_imputed(engine: DuckDB, strategy: str) -> None:
    table = Table(engine, {"x": pa.array([None, None], pa.float64())})
    with pytest.raises(DataError, match=r"numeric_imputer: no row has a number in x"):
        table.fit(step("numeric_imputer", "x", strategy))


def test_string_imputer_and_indexer(engine: DuckDB) -> None:
    table = Table(engine, {"x": ["b", "a", None, "b", "c", "a", "it's"]})
    chain = table.fit(step("string_imputer", "x", alias="filled"), step("string_indexer", "filled"))
    # by falling frequency, equal ones by the alphabet: a and b twice; c, it's and ml_unknown once
    assert table.apply(chain)[:, 0].tolist() == [1.0, 0.0, 4.0, 1.0, 2.0, 0.0, 3.0]
    filled = table.fit(step("string_imputer", "x", "none"))
    assert table.engine.rows(
        f"SELECT {table.engine.text(filled.features(table.columns()).elements[0].expression)} FROM given ORDER BY row"
    )[2] == ("none",)


def test_a_label_that_training_did_not_see_is_null(engine: DuckDB) -> None:
    chain = Table(engine, {"x": ["b", "a", "b"]}).fit(step("string_indexer", "x"))
    assert np.isnan(Table(engine, {"x": ["a", "z", None]}).apply(chain)[:, 0]).tolist() == [False, True, True]


def test_boolean_imputer(engine: DuckDB) -> None:
    table = Table(engine, {"x": pa.array([1.0, None, 0.0])})
    assert table.apply(table.fit(step("boolean_imputer", "x")))[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert table.apply(table.fit(step("boolean_imputer", "x", True)))[:, 0].tolist() == [1.0, 1.0, 0.0]


# -- chains ------------------------------------------------------------------------------------


def test_steps_feed_each_other_in_any_case(engine: DuckDB) -> None:
    table = Table(engine, {"Value": pa.array(GAPS, from_pandas=True), "other": VALUES})
    chain = table.fit(
        step("numeric_imputer", "VALUE", "median", alias="Filled"),
        step("vector_assembler", ["filled", "OTHER"], alias="v"),
        step("min_max_scaler", "V", alias="out"),
    )
    assert chain.inputs == ("VALUE", "OTHER")
    filled = SimpleImputer(strategy="median").fit_transform(GAPS[:, None])
    expected = MinMaxScaler().fit_transform(np.column_stack([filled, VALUES]))
    np.testing.assert_allclose(table.apply(chain), expected, rtol=1e-9, atol=1e-12)


def test_an_alias_may_take_the_name_of_its_column(engine: DuckDB) -> None:
    table = Table(engine, {"x": [1.0, None, 3.0]})
    chain = table.fit(step("numeric_imputer", "x", alias="x"), step("min_max_scaler", "x", alias="x"))
    assert chain.inputs == ("x",)
    assert table.apply(chain)[:, 0].tolist() == [0.0, 0.5, 1.0]


def test_chains_survive_json_to_the_last_bit(engine: DuckDB) -> None:
    table = Table(engine, {"x": pa.array(GAPS, from_pandas=True), "y": VALUES, "z": VALUES, "s": ["a", "b"] * 100})
    chain = table.fit(
        step("numeric_imputer", "x", "mean", alias="a"),
        step("standard_scaler", "a", True, True, alias="b"),
        step("min_max_scaler", "y", -1, 1, alias="c"),
        step("string_imputer", "s", alias="d"),
        step("string_indexer", "d", alias="f"),
        step("boolean_imputer", "z", True, alias="g"),
        step("vector_assembler", ["b", "c", "f", "g"], alias="v"),
    )
    assert {s.function for s in chain.steps} == {kind.function for kind in TRANSFORMS}
    again = Chain.from_json(json.loads(json.dumps(chain.to_json())))
    assert again == chain
    np.testing.assert_array_equal(table.apply(again), table.apply(chain))


def test_inputs_are_the_columns_that_no_step_makes() -> None:
    assert inputs_of([(("a",), "b"), (("B", "c"), "d"), (("A", "d"), "e")]) == ("a", "c")


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (step("standard_scaler", "y"), "unknown column y in standard_scaler at line 2, column 3: valid: s, x"),
        (
            step("standard_scalar", "x"),
            "unknown transform standard_scalar at line 2, column 3: did you mean standard_scaler",
        ),
        (
            step("standard_scaler", "x", True, True, True),
            "standard_scaler takes 2 arguments after the column, not 3 at line 2, column 3: write standard_scaler(column, ",
        ),
        (
            step("standard_scaler", "x", 7),
            "standard_scaler: with_std = 7 at line 2, column 3: need true or false; write standard_scaler(column, ",
        ),
        (
            step("min_max_scaler", "x", 5, 1),
            "min_max_scaler with min 5 and max 1 at line 2, column 3: need min below max",
        ),
        (
            step("min_max_scaler", "x", "low"),
            "min_max_scaler: low = 'low' at line 2, column 3: need a number; write min_max_scaler(column, ",
        ),
        (
            step("numeric_imputer", "x", "average"),
            "numeric_imputer: strategy = 'average' at line 2, column 3: need one of mean, median, mode; write ",
        ),
        (step("numeric_imputer", "s"), "column s of numeric_imputer is text at line 2, column 3: use string_imputer"),
        (step("numeric_imputer", ["x", "s"]), "numeric_imputer takes one column, not 2 at line 2, column 3: write "),
        (step("string_indexer", "x", 1), "string_indexer takes 0 arguments after the column, not 1"),
        (step("string_imputer", "s", 3), "string_imputer: fill = 3 at line 2, column 3: need a text in quotes"),
        (step("string_imputer", "x"), "column x of string_imputer is no text at line 2, column 3: use numeric_imputer"),
        (step("boolean_imputer", "s"), "column s of boolean_imputer is text at line 2, column 3: use string_imputer"),
        (step("standard_scaler", "s"), "column s of standard_scaler is text at line 2, column 3: make a number of it"),
        (step("min_max_scaler", "s"), "column s of min_max_scaler is text at line 2, column 3: make a number of it"),
        (
            step("boolean_imputer", "x", "perhaps"),
            "boolean_imputer: fill = 'perhaps' at line 2, column 3: need true or",
        ),
        (step("vector_assembler", []), "vector_assembler has no columns at line 2, column 3: write "),
        (
            step("vector_assembler", ["x", "s"]),
            "column s of vector_assembler is text at line 2, column 3: make a number of it with string_indexer",
        ),
        (
            step("vector_assembler", ["x", "X"]),
            "column x stands twice in vector_assembler at line 2, column 3: name each column once",
        ),
    ],
)
def test_steps_that_do_not_fit(engine: DuckDB, spec: StepSpec, message: str) -> None:
    table = Table(engine, {"x": [1.0, 2.0], "s": ["a", "b"]})
    with pytest.raises(BindError) as raised:
        table.fit(spec)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("function", KNOWN)
def test_transforms_that_are_not_there_yet_say_so(engine: DuckDB, function: str) -> None:
    table = Table(engine, {"x": [1.0]})
    with pytest.raises(UnsupportedError) as raised:
        table.fit(step(function, "x"))
    assert str(raised.value).startswith(
        f"transform {function} at line 2, column 3: Hanse does not have this transform yet; it has boolean_imputer, "
    )


@pytest.mark.parametrize(
    "broken",
    [
        {"function": "magic", "inputs": ["x"], "alias": "a", "fitted": {}},
        {"function": "standard_scaler", "inputs": ["x"], "alias": "a", "fitted": {"mean": [1.0]}},
        {"function": "standard_scaler", "inputs": ["x"], "alias": "a", "fitted": {"mean": ["a"], "deviation": [1.0]}},
        {"function": "numeric_imputer", "inputs": ["x"], "alias": "a", "fitted": {"fill": [float("inf")]}},
        {"function": "numeric_imputer", "inputs": ["x"], "alias": "a"},
        {"inputs": ["x"], "alias": "a", "fitted": {}},
        {"function": "min_max_scaler", "inputs": None, "alias": "a", "fitted": {}},
    ],
)
def test_a_broken_artifact_is_named(broken: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="is missing or wrong"):
        Chain.from_json([broken])
