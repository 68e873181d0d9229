"""Models in SQL: train, predict, evaluate; the rows stay in the engine throughout."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hanse import __version__
from hanse import expressions as e
from hanse.anomalies.basis import ScoreBasis, fit_basis
from hanse.artifact import Artifact, ModelInfo
from hanse.engines.base import Engine
from hanse.errors import BindError, DataError, HanseError, Position, nearest
from hanse.estimator import TARGET, WEIGHT, Model, train
from hanse.models.catalog import estimator_of, model_from_json
from hanse.options import Given
from hanse.session.features import base_columns, bind_features, default_steps
from hanse.session.labels import refuse_label_as_feature, roles_of
from hanse.session.rows import GUARD, Rows, bad_features, needed_of, survey
from hanse.transforms.base import Column, StepSpec
from hanse.transforms.chain import Chain, fit_chain, inputs_of
from hanse.types import Progress

__all__ = ["Learner", "LoadedModel", "Trained", "user"]

_SCORED_ROWS = 100_000  # of so many rows, or a few more, quantiles of scores are taken
_ROWS = "hanse_rows_"


@dataclass(frozen=True)
class LoadedModel:
    """A model of the registry, ready to predict."""

    info: ModelInfo
    artifact: Artifact
    chain: Chain
    model: Model
    basis: ScoreBasis

    @classmethod
    def of(cls, info: ModelInfo, artifact: Artifact) -> LoadedModel:
        """Read the artifact's transforms and model.

        Raises:
            ArtifactError: either cannot be read.
        """
        chain = Chain.from_json(artifact.transforms)
        model = model_from_json(artifact.model_type, artifact.model)
        return cls(info, artifact, chain, model, ScoreBasis.from_json(artifact.scoring, model))


@dataclass(frozen=True)
class Trained:
    """What training gives: the artifact to store, and warnings."""

    artifact: Artifact
    warnings: tuple[str, ...]


@dataclass
class Learner:
    """Trains and uses models on one engine.

    Args:
        engine: where the rows are.
        strict_binding: every mismatch of columns and features is an error.
    """

    engine: Engine
    strict_binding: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def scratch(self, sql: str) -> Iterator[str]:
        """A temporary table for as long as it is needed."""
        name = f"{_ROWS}{next(self._numbers)}"
        try:
            self.engine.keep(name, sql)
            yield name
        finally:
            self.engine.forget(name)

    # -- training -----------------------------------------------------------------------------

    def train(
        self,
        sql: str,
        columns: Mapping[str, str],
        steps: Sequence[StepSpec],
        options: Sequence[Given],
        source_sql: str,
        position: Position,
        progress: Progress | None = None,
    ) -> Trained:
        """Train a model on a query's rows.

        Args:
            sql: the query, in the engine's dialect.
            columns: what it gives, with engine types.
            steps: of TRANSFORM; none: the reference dialect's defaults.
            options: of OPTIONS.
            source_sql: the query as the user wrote it.
            position: of the statement.
            progress: called on each round.

        Raises:
            SqlError: names, types or options that do not fit.
            DataError: rows that do not.
        """
        estimator = estimator_of(options, position)
        named = roles_of(estimator, columns, options, position)
        specs = list(steps) or default_steps(columns, [role.column for role in named.values()], position)
        base = base_columns(columns)
        read = inputs_of((s.inputs, s.alias) for s in specs)
        if TARGET in named:
            refuse_label_as_feature(named[TARGET].column, specs, read)
        roles = {role: found.value for role, found in named.items()}
        for spec in specs:
            _check_inputs(spec, read, base, columns)
        plain = [s.function for s in specs] == ["vector_assembler"]
        with contextlib.ExitStack() as stack:
            if plain:
                chain = fit_chain(specs, base, Rows(self.engine, ""))
                source = f"({sql}) AS rows_"
            else:
                kept = ", ".join(dict.fromkeys(e.quote(base[r.lower()].elements[0].source) for r in read))
                extra = "".join(f", {self.engine.text(v)} AS {e.quote(role)}" for role, v in roles.items())
                source = stack.enter_context(self.scratch(f"SELECT {kept}{extra} FROM ({sql}) AS rows_"))
                roles = {role: e.column(role) for role in roles}
                if not self.engine.rows(f"SELECT 1 FROM {source} LIMIT 1"):
                    raise DataError("the SELECT gives no rows: there is nothing to train on")
                chain = fit_chain(specs, base, Rows(self.engine, source))
            features = chain.features(base)
            names = _feature_names(features, specs[-1])
            projected = [f"{self.engine.text(x.expression)} AS f{i}" for i, x in enumerate(features.elements)]
            projected += [f"{self.engine.text(value)} AS {e.quote(role)}" for role, value in roles.items()]
            rows = stack.enter_context(self.scratch(f"SELECT {', '.join(projected)} FROM {source}"))
            inner = [f"f{i}" for i in range(len(names))]
            spread, begun = survey(self.engine, rows, inner, names, estimator)
            trained = train(estimator, inner, [lambda o: self.engine.observe(rows, o)], progress, begun)
            basis = fit_basis(
                trained.model,
                inner,
                lambda o: self.engine.observe(rows, o),
                lambda o: self.engine.observe(self.engine.every(rows, int(spread["rows"]) // _SCORED_ROWS), o),
                weighted=WEIGHT in roles,
            )
        model = trained.model.to_json()
        model["features"] = list(names)
        artifact = Artifact(
            model_type=estimator.model_type,
            options=asdict(estimator),  # type: ignore[call-overload]  # estimators are dataclasses
            transforms=tuple(chain.to_json()),  # type: ignore[arg-type]  # objects
            features=names,
            model=model,
            training={"rounds": trained.rounds, **_plain(trained.numbers), **spread},
            source_sql=source_sql,
            row_count=int(spread["rows"]),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            created_by=user(),
            hanse_version=__version__,
            fields=tuple(columns),
            scoring=basis.to_json(),
        )
        return Trained(artifact, tuple(_remarks(estimator, trained.numbers, names, spread)))

    # -- table functions ----------------------------------------------------------------------

    def predict(
        self, loaded: LoadedModel, sql: str, columns: Mapping[str, str], position: Position | None
    ) -> tuple[str, dict[str, str], tuple[str, ...]]:
        """A query that gives every column of ``sql`` and the model's predictions.

        Returns:
            the query in the engine's dialect, its columns with types, and warnings.

        Raises:
            BindError: columns and features do not fit, or a column is called like the prediction.
        """
        bound, warnings = bind_features(loaded.chain, columns, loaded.info.name, position, strict=self.strict_binding)
        made = [f"__hanse_f{i}" for i in range(len(bound.elements))]
        plain = all(e.is_column(x.expression) for x in bound.elements)
        features = [x.expression if plain else e.column(m) for x, m in zip(bound.elements, made, strict=True)]
        outputs = loaded.model.predict(features)
        for name in outputs:
            clash = next((c for c in columns if c.lower() == name.lower()), None)
            if clash is not None:
                what = f"the SELECT has a column {clash}, as the prediction of model {loaded.info.name} is called"
                raise BindError(what, "give it another name with AS", position)
        needed = needed_of(features, loaded.model)
        guarded = ", ".join(
            f"{self.engine.text(e.guarded(needed, value, self.engine.error(GUARD)))} AS {e.quote(name)}"
            for name, value in outputs.items()
        )
        kept = ", ".join(e.quote(c) for c in columns)
        source = f"({sql}) AS rows_"
        if not plain:
            added = ", ".join(
                f"{self.engine.text(x.expression)} AS {e.quote(m)}" for x, m in zip(bound.elements, made, strict=True)
            )
            source = f"(SELECT {kept}, {added} FROM {source}) AS rows_"
        result = f"SELECT {kept}, {guarded} FROM {source}"
        return result, {**columns, **loaded.model.outputs}, warnings

    def explain_guard(
        self,
        error: HanseError,
        loaded: LoadedModel,
        sql: str,
        columns: Mapping[str, str],
        position: Position | None,
    ) -> HanseError | None:
        """If ``error`` comes from a feature that is no number: which, and in how many rows."""
        if GUARD not in str(error):
            return None
        bound, _ = bind_features(loaded.chain, columns, loaded.info.name, position, strict=self.strict_binding)
        projected = ", ".join(f"{self.engine.text(x.expression)} AS f{i}" for i, x in enumerate(bound.elements))
        inner = [f"f{i}" for i in range(len(bound.elements))]
        needed = needed_of([e.column(f) for f in inner], loaded.model)
        with self.scratch(f"SELECT {projected} FROM ({sql}) AS rows_") as rows:
            return bad_features(self.engine, rows, needed, [x.name for x in bound.elements])

    def transformed(
        self, sql: str, columns: Mapping[str, str], steps: Sequence[StepSpec]
    ) -> tuple[str, dict[str, str]]:
        """A query that gives every column of ``sql`` and each step's result under its alias."""
        base = base_columns(columns)
        read = inputs_of((s.inputs, s.alias) for s in steps)
        for spec in steps:
            _check_inputs(spec, read, base, columns)
        kept = list(dict.fromkeys(e.quote(base[r.lower()].elements[0].source) for r in read))
        with self.scratch(f"SELECT {', '.join(kept)} FROM ({sql}) AS rows_") as source:
            chain = fit_chain(steps, base, Rows(self.engine, source))
        results = chain.apply(base)
        taken = {c.lower() for c in columns} & {a.lower() for a in results}
        hidden = {c for c in columns if c.lower() in taken}
        shown = [e.quote(c) for c in columns if c not in hidden]
        for alias, column in results.items():
            shown.append(f"{self._value(column)} AS {e.quote(alias)}")
        query = f"SELECT {', '.join(shown)} FROM ({sql}) AS rows_"
        return query, dict(self.engine.columns(query))

    def _value(self, column: Column) -> str:
        values = [x.expression for x in column.elements]
        return self.engine.text(e.array(values) if column.vector else values[0])


def _check_inputs(spec: StepSpec, read: Sequence[str], base: Mapping[str, Column], columns: Mapping[str, str]) -> None:
    """Name a column that a step reads and the SELECT does not give, or not as a number or text."""
    known = {c.lower(): k for c, k in columns.items()}
    for name in spec.inputs:
        if name not in read or name.lower() in base:
            continue
        if name.lower() in known:
            what = f"column {name} of type {known[name.lower()]} in {spec.function}"
            raise BindError(what, "need a number, a text or a truth value", spec.position)
        raise BindError(f"unknown column {name} in {spec.function}", nearest(name, columns), spec.position)


def _feature_names(features: Column, last: StepSpec) -> tuple[str, ...]:
    for element in features.elements:
        if element.kind == "text":
            cure = "index it with string_indexer first"
            raise BindError(f"the last step of TRANSFORM gives {element.name} as text", cure, last.position)
    return tuple(x.name for x in features.elements)


def _remarks(
    estimator: Any, numbers: Mapping[str, float], names: Sequence[str], spread: Mapping[str, Any]
) -> Iterator[str]:
    constant = [n for n, c in zip(names, spread["constant"], strict=True) if c]
    if constant:
        yield f"constant feature{'s'[: len(constant) != 1]} {', '.join(constant)}: one value in every row has no effect"
    yield from estimator.remarks(numbers)


def _plain(numbers: Mapping[str, float]) -> dict[str, float]:
    return {k: float(v) for k, v in numbers.items()}


def user() -> str:
    """Who runs this session."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
