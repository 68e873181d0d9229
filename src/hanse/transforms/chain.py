"""A TRANSFORM clause as a whole: steps that feed each other, fitted in order, kept with the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanse.errors import ArtifactError, BindError, Position, UnsupportedError, nearest
from hanse.transforms.base import Column, Fitted, Source, StepSpec, Transform
from hanse.transforms.min_max_scaler import MinMaxScaler
from hanse.transforms.numeric_imputer import NumericImputer
from hanse.transforms.standard_scaler import StandardScaler
from hanse.transforms.string_indexer import BooleanImputer, StringImputer, StringIndexer
from hanse.transforms.vector_assembler import VectorAssembler
from hanse.types import JsonValue

__all__ = ["KNOWN", "TRANSFORMS", "Chain", "ChainStep", "fit_chain", "inputs_of", "transform_of"]

TRANSFORMS: tuple[type[Transform], ...] = (
    VectorAssembler,
    StandardScaler,
    MinMaxScaler,
    NumericImputer,
    StringImputer,
    BooleanImputer,
    StringIndexer,
)

KNOWN = (
    "binarizer",
    "bucketizer",
    "count_vectorizer",
    "max_abs_scaler",
    "ngram",
    "normalizer",
    "one_hot_encoder",
    "quantile_discretizer",
    "stop_words_remover",
    "tf_idf",
    "tokenizer",
    "word2vec",
)
"""Transforms of the reference dialect that parse and are not there yet."""

_BY_NAME = {t.function: t for t in TRANSFORMS}


@dataclass(frozen=True)
class ChainStep:
    """One fitted step."""

    function: str
    inputs: tuple[str, ...]
    alias: str
    fitted: Fitted


@dataclass(frozen=True)
class Chain:
    """Fitted steps, in order; the last one's column is what a model trains on."""

    steps: tuple[ChainStep, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of the SELECT that the chain reads, each once, in order of first use."""
        return inputs_of((s.inputs, s.alias) for s in self.steps)

    def apply(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Every step's result by its alias, over the SELECT's columns (by lower-case name)."""
        known = dict(columns)
        results: dict[str, Column] = {}
        for step in self.steps:
            made = step.fitted.apply([known[name.lower()] for name in step.inputs])
            known[step.alias.lower()] = results[step.alias] = made
        return results

    def features(self, columns: Mapping[str, Column]) -> Column:
        """The last step's column."""
        return self.apply(columns)[self.steps[-1].alias]

    def to_json(self) -> list[JsonValue]:
        """Plain data."""
        return [
            {"function": s.function, "inputs": list(s.inputs), "alias": s.alias, "fitted": s.fitted.to_json()}
            for s in self.steps
        ]

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]]) -> Chain:
        """Read a chain back.

        Raises:
            ArtifactError: a step is unknown or a field is missing or wrong.
        """
        steps = []
        for item in data:
            try:
                kind = _BY_NAME[item["function"]]
                inputs = tuple(str(i) for i in item["inputs"])
                steps.append(ChainStep(kind.function, inputs, str(item["alias"]), kind.from_json(item["fitted"])))
            except (KeyError, TypeError, ValueError) as error:
                raise ArtifactError(f"transform {dict(item)!r:.80}: {error!r} is missing or wrong") from error
        return cls(tuple(steps))


def inputs_of(steps: Iterable[tuple[Sequence[str], str]]) -> tuple[str, ...]:
    """The columns that steps (inputs, alias) read and no step before them makes."""
    made: set[str] = set()
    read: dict[str, str] = {}
    for inputs, alias in steps:
        for name in inputs:
            if name.lower() not in made:
                read.setdefault(name.lower(), name)
        made.add(alias.lower())
    return tuple(read.values())


def fit_chain(specs: Sequence[StepSpec], columns: Mapping[str, Column], source: Source) -> Chain:
    """Fit steps one after the other.

    Args:
        specs: the steps.
        columns: the SELECT's columns by lower-case name.
        source: the rows.

    Raises:
        BindError: an unknown function or column.
        UnsupportedError: a transform that is not there yet.
    """
    known = dict(columns)
    made: set[str] = set()
    steps: list[ChainStep] = []
    for spec in specs:
        kind = transform_of(spec.function, spec.position)
        if spec.alias.lower() in made and spec.alias.lower() not in {name.lower() for name in spec.inputs}:
            raise BindError(
                f"two steps of TRANSFORM are called {spec.alias}", "give each an alias of its own", spec.position
            )
        made.add(spec.alias.lower())
        for name in spec.inputs:
            if name.lower() not in known:
                what = f"unknown column {name} in {spec.function}"
                raise BindError(what, nearest(name, [c.elements[0].name for c in known.values()]), spec.position)
        taken = [known[name.lower()] for name in spec.inputs]
        if kind is not VectorAssembler and len(taken) != 1:
            raise BindError(f"{spec.function} takes one column, not {len(taken)}", f"write {kind.usage}", spec.position)
        fitted = kind.fit(spec, taken, source)
        steps.append(ChainStep(kind.function, spec.inputs, spec.alias, fitted))
        known[spec.alias.lower()] = fitted.apply(taken)
    return Chain(tuple(steps))


def transform_of(function: str, position: Position | None) -> type[Transform]:
    """The transform called ``function``, in lower case.

    Raises:
        BindError: there is none.
        UnsupportedError: the reference dialect has it, and Hanse does not have it yet.
    """
    if function in _BY_NAME:
        return _BY_NAME[function]
    if function in KNOWN:
        cure = f"Hanse does not have this transform yet; it has {', '.join(sorted(_BY_NAME))}"
        raise UnsupportedError(f"transform {function}", cure, position)
    raise BindError(f"unknown transform {function}", nearest(function, [*_BY_NAME, *KNOWN]), position)
