"""Plans that are kept: the same rows as from a query that is planned anew, whatever its numbers are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.engines.plans import Plans
from hanse.errors import EngineError
from hanse.models.kmeans import KMeans, KMeansState

doubles = st.floats(allow_nan=False, allow_infinity=False)
ROWS = pa.table(
    {"f0": [0.5, -1.5, 2.25, 1e-3], "f1": [1.0, 2.0, 3.0, 4.0], 'a "1.5e0" b': ["x", "2.5e0", "it's 3e0", ""]}
)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    opened = DuckDB(threads=1)
    opened.register("given", ROWS)
    opened.hold("held", "SELECT * FROM given")
    yield opened
    opened.close()


class Recorded:
    """A connection that only remembers what it was told to execute."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.plans = Plans(self.told.append)

    def prepared(self) -> list[str]:
        return [sql.split()[1] for sql in self.told if sql.startswith("PREPARE")]

    def dropped(self) -> list[str]:
        return [sql.split()[1] for sql in self.told if sql.startswith("DEALLOCATE")]


@given(numbers=st.lists(doubles, min_size=3, max_size=3))
@example(numbers=[-0.0, 5e-324, 1.7976931348623157e308])
@example(numbers=[0.1, -1e22, 1e-5])
@settings(max_examples=100, deadline=None)
def test_a_kept_plan_gives_what_the_query_gives(engine: DuckDB, numbers: list[float]) -> None:
    a, b, c = map(e.number, numbers)
    tree = e.select("held", {"a": a, "b": e.add(e.column("f0"), b), "c": e.absolute(c), "n": e.integer(7)})
    sql = engine.text(tree)
    expected = engine.rows(sql)
    for _ in range(3):
        assert engine.rows(sql, again=True) == expected


def test_names_and_texts_stay_as_they_are(engine: DuckDB) -> None:
    for number in ("0.5e0", "-2.0e0", "1e+20", "1.5e-05"):
        sql = f"""SELECT "a ""1.5e0"" b", 'it''s 1.5e0', typeof({number}), {number} FROM held WHERE f1 > 1.5e0"""
        assert engine.rows(sql, again=True) == engine.rows(sql)


def test_queries_that_differ_in_numbers_share_a_plan() -> None:
    connection = Recorded()
    found = [connection.plans.of(f"SELECT {n}e0, \"x1e5\", '2e0' FROM t1e5") for n in range(3)]
    assert found == [f"EXECUTE plan_0({n}e0)" for n in range(3)]
    assert connection.told == ["PREPARE plan_0 AS SELECT CAST($1 AS DOUBLE), \"x1e5\", '2e0' FROM t1e5"]
    assert [connection.plans.of("SELECT 1") for _ in range(2)] == ["EXECUTE plan_1"] * 2


@given(weights=st.lists(st.floats(-1e100, 1e100).filter(bool), min_size=3, max_size=3))
def test_a_sign_makes_no_other_query(engine: DuckDB, weights: list[float]) -> None:
    connection = Recorded()
    for numbers in (weights, [-w for w in weights], [abs(w) for w in weights]):
        x, y = e.column("f0"), e.column("f1")
        near = e.add(e.dot(numbers[:2], [x, e.subtract(y, e.number(numbers[2]))]), e.absolute(e.number(numbers[2])))
        side = e.at_least(e.dot(numbers[:2], [x, y]), e.number(numbers[2]))
        sql = engine.text(e.select("held", {"near": near, "side": side}))
        connection.plans.of(sql)
        assert engine.rows(sql, again=True) == engine.rows(sql)
    assert len(connection.prepared()) == 1


def test_no_more_plans_are_kept_than_those_asked_for_last() -> None:
    connection = Recorded()
    for number in [*range(40), 39, 38, 0, 0]:
        connection.plans.of(f"SELECT {number}")
    assert connection.dropped() == connection.prepared()[: len(connection.dropped())]
    assert len(connection.prepared()) - len(connection.dropped()) == 32
    connection.plans.forget()
    assert sorted(connection.dropped()) == sorted(connection.prepared())


def test_long_queries_leave_room_for_fewer_plans() -> None:
    connection = Recorded()
    for number in range(10):
        connection.plans.of(f"SELECT {number}{', 1' * 10_000}")
    assert len(connection.prepared()) - len(connection.dropped()) == 3
    too_long = f"SELECT 1{', 1' * 100_000}"
    assert connection.plans.of(too_long) == too_long
    assert len(connection.prepared()) - len(connection.dropped()) == 3


def test_plans_survive_what_stops_their_making_or_their_end() -> None:
    class StoppedError(Exception):
        pass

    stopped, told = [True], []

    def execute(sql: str) -> None:
        if stopped[0]:
            raise StoppedError
        told.append(sql)

    plans = Plans(execute)
    with pytest.raises(StoppedError):
        plans.of("SELECT 1.5e0")
    stopped[0] = False
    assert plans.of("SELECT 1.5e0") == "EXECUTE plan_1(1.5e0)"
    stopped[0] = True
    with pytest.raises(StoppedError):
        plans.forget()
    stopped[0] = False
    assert plans.of("SELECT 1.5e0") == "EXECUTE plan_2(1.5e0)"
    assert told[-1] == "PREPARE plan_2 AS SELECT CAST($1 AS DOUBLE)"


def test_a_change_of_the_catalog_forgets_plans(engine: DuckDB) -> None:
    kept = "SELECT count(*) FROM duckdb_prepared_statements()"
    for _ in range(2):
        engine.rows("SELECT sum(f0) FROM held", again=True)
    assert engine.rows(kept)[0][0] >= 1
    engine.execute("CREATE OR REPLACE TEMP VIEW other AS SELECT f0 + 1 AS f0 FROM held")
    assert engine.rows(kept) == [(0,)]
    for _ in range(3):
        assert engine.rows("SELECT sum(f0) FROM other", again=True) == [(pytest.approx(5.251),)]
    engine.execute("CREATE OR REPLACE TEMP VIEW other AS SELECT f0 + 2 AS f0 FROM held")
    assert engine.rows("SELECT sum(f0) FROM other", again=True) == [(pytest.approx(9.251),)]


def test_a_query_that_cannot_be_is_refused_as_often_as_it_is_asked(engine: DuckDB) -> None:
    for _ in range(3):
        with pytest.raises(EngineError, match="nothing"):
            engine.rows("SELECT nothing FROM held WHERE f0 > 1.5e0", again=True)
        with pytest.raises(EngineError, match=r"2\.0"):
            engine.rows("SELECT error('it is ' || 2.0e0) FROM held", again=True)


def test_an_engine_that_holds_nothing_runs_queries_as_they_are() -> None:
    plain = DuckDB(threads=1)
    for _ in range(3):
        assert plain.rows("SELECT 1.5e0", again=True) == [(1.5,)]
    assert plain.rows("SELECT count(*) FROM duckdb_prepared_statements()") == [(0,)]
    plain.close()


def test_what_is_held_is_what_was_there_then() -> None:
    engine = DuckDB(threads=1)
    engine.register("given", ROWS)
    engine.execute("CREATE TABLE kept AS SELECT f0 FROM given")
    engine.hold("held", "SELECT * FROM kept")
    engine.execute("DELETE FROM kept")
    engine.lock()
    assert [engine.rows("SELECT count(*) FROM held", again=True) for _ in range(3)] == [[(4,)]] * 3
    engine.close()


def test_an_observation_is_the_same_by_a_kept_plan(engine: DuckDB) -> None:
    estimator, random = KMeans(num_clusters=2), np.random.default_rng(0)
    for _ in range(5):
        centroids = random.normal(size=(2, 2))
        state = KMeansState(("f0", "f1"), "step", random.normal(size=2), centroids=centroids)
        held, table = (engine.observe(name, estimator.observe(state)) for name in ("held", "given"))
        for name in ("count", "weight", "sum", "square"):
            assert held[name].tolist() == table[name].tolist()
