"""Statistics: what adds up, what does not, and the laws that make sums of sums sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import ShapeError
from hanse.statistics import Combine, Statistics

NAMES: dict[str, Combine] = {"count": "sum", "moved": "sum", "low": "min", "high": "max"}
SHAPES = {"count": (), "moved": (2, 3), "low": (3,), "high": (3,)}

whole_numbers = st.integers(-(2**40), 2**40)  # float64 adds up to 2^53 exactly, so addition is associative on them


@st.composite
def statistics(draw: st.DrawFn) -> Statistics:
    arrays = {}
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        values = draw(st.lists(whole_numbers, min_size=size, max_size=size))
        arrays[name] = np.array(values, dtype=np.float64).reshape(shape)
    return Statistics(arrays, NAMES)


@given(statistics(), statistics(), statistics())
def test_addition_is_associative_and_commutative(a: Statistics, b: Statistics, c: Statistics) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a


@given(statistics())
def test_zero_is_the_identity(a: Statistics) -> None:
    assert a + a.zero() == a
    assert a.zero() + a == a
    assert a.zero() + a.zero() == a.zero()


@given(statistics(), statistics())
def test_each_array_combines_in_its_own_way(a: Statistics, b: Statistics) -> None:
    total = a + b
    assert total.combine == NAMES
    np.testing.assert_array_equal(total["moved"], a["moved"] + b["moved"])
    np.testing.assert_array_equal(total["low"], np.minimum(a["low"], b["low"]))
    np.testing.assert_array_equal(total["high"], np.maximum(a["high"], b["high"]))


def test_addition_changes_neither_side() -> None:
    a, b = Statistics({"n": [1.0, 2.0]}), Statistics({"n": [10.0, 20.0]})
    assert (a + b)["n"].tolist() == [11.0, 22.0]
    assert (a["n"].tolist(), b["n"].tolist()) == ([1.0, 2.0], [10.0, 20.0])


def test_the_identity_of_minimum_and_maximum_is_infinite() -> None:
    zero = Statistics({"low": [5.0], "high": [5.0], "n": 3.0}, {"low": "min", "high": "max"}).zero()
    assert (zero["low"].tolist(), zero["high"].tolist(), float(zero["n"])) == ([np.inf], [-np.inf], 0.0)


def test_other_names_do_not_add() -> None:
    with pytest.raises(ShapeError, match=r"\['n'\] cannot be added to \['m'\]: names must be the same"):
        Statistics({"n": 1.0}) + Statistics({"m": 1.0})


def test_other_ways_of_combining_do_not_add() -> None:
    with pytest.raises(ShapeError, match="cannot be added"):
        Statistics({"n": 1.0}) + Statistics({"n": 1.0}, {"n": "min"})


def test_other_shapes_do_not_add() -> None:
    with pytest.raises(ShapeError, match=r"statistic n has shapes \(1,\) and \(2,\)"):
        Statistics({"n": [1.0]}) + Statistics({"n": [1.0, 2.0]})  # NumPy would broadcast


def test_equality_sees_names_values_and_ways_of_combining() -> None:
    one = Statistics({"n": [1.0, np.nan]})
    assert one == Statistics({"n": [1.0, np.nan]})
    assert one != Statistics({"n": [1.0, 2.0]})
    assert one != Statistics({"m": [1.0, np.nan]})
    assert one != Statistics({"n": [1.0, np.nan]}, {"n": "max"})
    assert one != {"n": [1.0, np.nan]}


def test_it_is_a_mapping_of_float64_arrays() -> None:
    made = Statistics({"n": 3, "moved": [[1, 2], [3, 4]]})
    assert list(made) == ["n", "moved"]
    assert len(made) == 2
    assert made["moved"].dtype == np.float64
    assert repr(made) == "Statistics(n[], moved[2, 2])"
    with pytest.raises(KeyError):
        made["other"]
