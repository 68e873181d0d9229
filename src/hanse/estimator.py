"""The protocols that every model type follows, and the one training loop.

A model turns additive statistics into its next state: ``observe`` says what each data holder computes over its rows,
``advance`` makes the next state of the sum, ``predict`` gives a SQL expression per output column. Local training is
federated training with one holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar, Literal, Protocol, TypeVar

from hanse.errors import DataError
from hanse.expressions import Expression, again, multiply
from hanse.statistics import Combine, FloatArray, Statistics
from hanse.types import JsonValue, Progress

__all__ = [
    "SUPERVISED",
    "TARGET",
    "WEIGHT",
    "Aggregate",
    "CrossProducts",
    "Estimator",
    "Family",
    "Holder",
    "Model",
    "Observation",
    "OutputKind",
    "Training",
    "train",
]

WEIGHT = "weight"
"""The column of a training relation that holds the rows' weights, where there are any."""

TARGET = "target"
"""The column of a training relation that holds what a model learns to predict, where it learns from examples."""

Family = Literal["clustering", "classification", "distribution"]
"""What a model does with a row, and so which measures tell how well it does it."""

SUPERVISED: frozenset[Family] = frozenset({"classification"})
"""The families that learn from examples, each with its answer in :data:`TARGET`."""

OutputKind = Literal["INTEGER", "DOUBLE"]
"""The type of a column that a model predicts."""

S = TypeVar("S")


@dataclass(frozen=True)
class Aggregate:
    """A named array of aggregates: each expression is combined over the rows of a cell.

    Args:
        expressions: row-major, one for each element of ``shape``.
        shape: of the array for one cell; ``()`` is a single number.
        function: ``sum``, ``min`` or ``max``; ``count`` counts the rows where the expression is not NULL.
    """

    expressions: tuple[Expression, ...]
    shape: tuple[int, ...] = ()
    function: Literal["sum", "min", "max", "count"] = "sum"

    @property
    def combine(self) -> Combine:
        """How two holders' arrays join: counts add like sums."""
        return "sum" if self.function == "count" else self.function


@dataclass(frozen=True)
class CrossProducts(Aggregate):
    """The upper triangle, row by row, of the sum of outer products: an engine may have a way of its own for many.

    Args:
        values: (d,) short expressions, such as columns; ``expressions`` are their d (d + 1) / 2 products.
        weight: of each row; None for 1.
    """

    values: tuple[Expression, ...] = ()
    weight: Expression | None = None

    @classmethod
    def of(cls, values: Sequence[Expression], weight: Expression | None = None) -> CrossProducts:
        """Of these values."""
        pairs = [multiply(again(a), again(b)) for i, a in enumerate(values) for b in values[i:]]
        products = tuple(p if weight is None else multiply(again(weight), p) for p in pairs)
        return cls(products, (len(products),), "sum", tuple(values), weight)


@dataclass(frozen=True)
class Observation:
    """What a data holder computes: named, shaped SQL aggregates, for each cell of a partition of its rows.

    Args:
        aggregates: by name.
        let: layers of intermediate columns; each layer sees the relation and the layers before it.
        cell: an integer expression from 0 to ``cells - 1``; rows where it is NULL or -1 do not count. Without it, all
            rows.
        cells: how many cells; with ``cell``, arrays get this as their first axis.
        whole: whether every row is in one of the cells.
    """

    aggregates: Mapping[str, Aggregate]
    let: tuple[Mapping[str, Expression], ...] = ()
    cell: Expression | None = None
    cells: int = 1
    whole: bool = False

    @property
    def complete(self) -> bool:
        """Whether the counts of the cells add up to all rows."""
        return self.cell is None or self.whole

    def shape(self, name: str) -> tuple[int, ...]:
        """The whole shape of the array ``name``."""
        own = self.aggregates[name].shape
        return own if self.cell is None else (self.cells, *own)


Holder = Callable[[Observation], Statistics]
"""A data holder: computes an observation over its rows."""


class Model(Protocol):
    """A trained model: plain data, no engine, no pickle."""

    model_type: ClassVar[str]
    family: ClassVar[Family]

    @property
    def features(self) -> tuple[str, ...]:
        """The features' names, in order."""
        ...

    @property
    def outputs(self) -> Mapping[str, OutputKind]:
        """The columns that it predicts, with their types; the first one is its answer."""
        ...

    def predict(self, features: Sequence[Expression]) -> Mapping[str, Expression]:
        """The output columns as SQL expressions over the features, in the order of :attr:`outputs`."""
        ...

    def described(self) -> Iterator[tuple[str, str]]:
        """What DESCRIBE MODEL shows of its numbers: property and value."""
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        ...


class Estimator(Protocol[S]):
    """A model type: a frozen dataclass whose fields are the SQL OPTIONS, in lower case."""

    model_type: ClassVar[str]
    family: ClassVar[Family]

    def start(self, features: Sequence[str], about: FloatArray | None = None) -> S:
        """The first state.

        Args:
            features: the columns of the training relation, in order.
            about: (d,) where some of the rows lie, if somebody knows: sums are taken about it from the first round on.
        """
        ...

    def observe(self, state: S) -> Observation:
        """What each data holder computes next; the first time ``count`` (), its rows, and no cells."""
        ...

    def advance(self, state: S, total: Statistics) -> S:
        """The next state, from the sum over all data holders."""
        ...

    def done(self, state: S) -> bool:
        """Whether ``state`` is final."""
        ...

    def model(self, state: S) -> Model:
        """The trained model of a final state."""
        ...

    def progress(self, state: S) -> Mapping[str, float]:
        """What a person who looks on may see: inertia, clusters ..."""
        ...

    def remarks(self, numbers: Mapping[str, float]) -> Iterator[str]:
        """Warnings about a training that ended with these numbers of :meth:`progress`."""
        ...


@dataclass(frozen=True)
class Training:
    """What training did.

    Args:
        model: the trained model.
        rounds: how many observations were made.
        numbers: the last state's progress.
    """

    model: Model
    rounds: int
    numbers: Mapping[str, float] = field(default_factory=dict)


def train(
    estimator: Estimator[S],
    features: Sequence[str],
    holders: Iterable[Holder],
    progress: Progress | None = None,
    begun: tuple[S, Statistics] | None = None,
) -> Training:
    """Train over any number of data holders; one loop serves local and federated training.

    Args:
        estimator: the model type with its options.
        features: the columns of the holders' relations.
        holders: who compute observations; at least one.
        progress: called after each round.
        begun: the first state and the total of its observation, where another scan has taken it along.

    Raises:
        DataError: there is no holder, or the rows are not what the model needs.
    """
    parties = list(holders)
    if not parties:
        raise DataError("no data holder to train on: name at least one")
    state, total = (estimator.start(features), None) if begun is None else begun
    rounds = 0
    while not estimator.done(state):
        if total is None:
            observation = estimator.observe(state)
            total = reduce(Statistics.__add__, (holder(observation) for holder in parties))
        state, total = estimator.advance(state, total), None
        rounds += 1
        if progress is not None:
            progress("training", {"round": rounds, **estimator.progress(state)})
    return Training(estimator.model(state), rounds, estimator.progress(state))
