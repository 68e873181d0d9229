"""What CREATE FEDERATED MODEL asks for, and of whom: a plan of names and numbers, before anybody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from hanse.anomalies.quantiles import EDGES
from hanse.errors import BindError, Position, UsageError, nearest
from hanse.estimator import Family
from hanse.federation.install import name_at_silos
from hanse.federation.journal import Journal, SiloRecord
from hanse.federation.plan import FederatedOptions, Plan
from hanse.federation.strategies import STRATEGIES
from hanse.messages import Strategy
from hanse.models.catalog import estimator_of, for_rounds
from hanse.options import Given, build, describe
from hanse.session.labels import label_name, refuse_label_as_feature
from hanse.sql import nodes
from hanse.sql.binder import bound_value
from hanse.sql.published import published_relation
from hanse.sql.steps import step_specs
from hanse.transforms.chain import inputs_of
from hanse.types import Parameters

__all__ = ["planned", "shapes", "silo_id"]

_FEDERATED = {key.lower() for key in describe(FederatedOptions)}


def planned(
    statement: nodes.CreateFederatedModel, parameters: Parameters, journal: Journal
) -> tuple[Plan, list[SiloRecord]]:
    """What a statement asks for, and of whom.

    Raises:
        SqlError: names, options or transforms that do not fit; with line and column.
        FederationError: an unknown silo.
    """
    _check_name(statement.name)
    published = published_relation(statement.query)
    records = [journal.find_silo(str(name)) for name in statement.silos]
    given = [Given(o.key, bound_value(o.value, parameters), o.position, o.value_position) for o in statement.options]
    ours = [g for g in given if g.key.lower() in _FEDERATED]
    options: FederatedOptions = build(FederatedOptions, ours, "a federated model")
    estimator: Any = estimator_of([g for g in given if g not in ours], statement.position)
    _check_strategy(estimator, options, ours, statement.position)
    if estimator.weight_col is not None:
        raise BindError("WEIGHT_COL over silos", "leave it out: a summary weighs what it holds", statement.position)
    if options.quorum > len(records):
        what = f"QUORUM = {options.quorum} of {len(records)} silos"
        raise BindError(what, "need at most as many", statement.position)
    label = _label(estimator, published.columns, given, statement)
    columns = [column for column in published.columns if column != label]
    features, scales = _features(statement, parameters, columns, label)
    remarks: tuple[str, ...] = ()
    if options.strategy == "rounds":
        asked = estimator
        estimator, _ = for_rounds(asked)
        remarks = tuple(_overruled(asdict(asked), asdict(estimator), given))
    ids = tuple(silo_id(record) for record in records)
    plan = Plan(
        str(statement.name),
        published.relation,
        features,
        ids,
        estimator,
        asdict(estimator),
        options,
        scales,
        label,
        remarks,
    )
    return plan, records


def _check_name(name: nodes.Name) -> None:
    """Refuse a model that no silo could take over.

    Raises:
        BindError: with the name's place.
    """
    try:
        name_at_silos(str(name))
    except UsageError as error:
        what, _, cure = str(error).partition(": ")
        raise BindError(what, cure, name.position) from None


def _overruled(asked: Mapping[str, Any], taken: Mapping[str, Any], given: Sequence[Given]) -> Iterator[str]:
    """A sentence for each option of the statement that rounds cannot follow."""
    keys = {g.key.lower() for g in given}
    for name, value in asked.items():
        if name in keys and value != taken[name]:
            yield (
                f"{name.upper()} = {value!r} counts as {taken[name]!r} with STRATEGY = 'rounds': "
                "more would need cells too small to leave a silo"
            )


def _check_strategy(estimator: Any, options: FederatedOptions, given: Sequence[Given], position: Position) -> None:
    """Refuse what a model type cannot do over silos.

    Raises:
        BindError: with the option's place.
    """
    places = {g.key.lower(): g.value_position for g in given}
    named = f"MODEL_TYPE = '{estimator.model_type}'"
    able = [strategy for family, strategy in STRATEGIES if family == estimator.family]
    if options.strategy not in able:
        cure = f"use STRATEGY = {' or '.join(repr(strategy) for strategy in able)}"
        raise BindError(f"STRATEGY = '{options.strategy}' with {named}", cure, places.get("strategy", position))
    if estimator.family != "clustering" and "local_clusters" in places:
        raise BindError(f"LOCAL_CLUSTERS with {named}", "leave it out: there are no clusters", places["local_clusters"])


def _label(
    estimator: Any, columns: Sequence[str], given: Sequence[Given], statement: nodes.CreateFederatedModel
) -> str:
    """The label's column as the SELECT writes it; empty for a model type without one.

    Raises:
        BindError: it is needed and not named, or the SELECT does not give it.
    """
    name = label_name(estimator, statement.position)
    found = next((c for c in columns if c.lower() == name.lower()), "")
    if name and not found:
        place = next((g.value_position for g in given if g.key == "LABEL"), None)
        raise BindError(f"LABEL = {name!r} is not a column of the SELECT", nearest(name, columns), place)
    return found


def silo_id(record: SiloRecord) -> str:
    """What tasks call a silo: its subject or name, and its store where it has several."""
    options = record.options
    if "config" in options:
        from hanse.federation.config import SiloConfig

        base = SiloConfig.load(options["config"]).name
    else:
        base = options.get("subject", record.name)
    store = options.get("store")
    return base if store is None else f"{base}/{quote(store, safe='')}"


def _features(
    statement: nodes.CreateFederatedModel, parameters: Parameters, columns: Sequence[str], label: str
) -> tuple[tuple[str, ...], tuple[bool, bool] | None]:
    """The features, and whether (withStd, withMean) they are scaled on all silos' moments.

    Raises:
        BindError: a transform that cannot be fitted over silos, or a column that the SELECT does not name.
    """
    steps = step_specs(statement.transform, parameters)
    if not columns:
        raise BindError("no features", "select columns to learn from, beside the label", statement.position)
    if not steps:
        return tuple(columns), None
    if label:
        refuse_label_as_feature(label, steps, inputs_of((s.inputs, s.alias) for s in steps))
    cure = "over silos write vector_assembler(array(...)) a, and standard_scaler(a, true, true) b after it if you like"
    if steps[0].function != "vector_assembler" or len(steps) > 2:
        raise BindError(f"transform {steps[0].function} over silos", cure, steps[0].position)
    known = {c.lower(): c for c in columns}
    for name in steps[0].inputs:
        if name.lower() not in known:
            raise BindError(f"unknown column {name}", nearest(name, columns), steps[0].position)
    features = tuple(known[name.lower()] for name in steps[0].inputs)
    if len(steps) == 1:
        return features, None
    second = steps[1]
    flags = [*second.parameters, *(True, False)[len(second.parameters) :]]
    fits = second.function == "standard_scaler" and second.inputs[0].lower() == steps[0].alias.lower()
    if not fits or len(flags) != 2 or not all(isinstance(f, bool) for f in flags):
        raise BindError(f"transform {second.function} over silos", cure, second.position)
    return features, (flags[0], flags[1])


def shapes(plan: Plan) -> Iterator[tuple[str, str]]:
    """For each exchange of a strategy the names and shapes of what leaves a silo."""
    d = len(plan.features)
    if plan.scales is not None:
        yield "moments", f"count (), mean ({d},), m2 ({d},)"
    yield _SHAPES[plan.family, plan.strategy](plan, d)
    if plan.family != "classification" and plan.strategy != "article":
        yield "evaluate", f"up to {len(EDGES) + 1} cells of count: rows by their anomaly score"


def _means(plan: Plan, d: int) -> tuple[str, str]:
    return "summarize", f"mean ({plan.options.local_clusters}, {d})"


def _summaries(plan: Plan, d: int) -> tuple[str, str]:
    c = plan.options.local_clusters
    return "summarize", f"count ({c},), sum ({c}, {d}), square ({c}, {d})"


def _cluster_sums(plan: Plan, d: int) -> tuple[str, str]:
    k = getattr(plan.estimator, "num_clusters", 1)
    triangle = d * (d + 1) // 2
    return "observe", f"each round up to {k} cells of count, weight, sum ({d},), square, cross ({triangle},)"


def _coefficients(plan: Plan, d: int) -> tuple[str, str]:
    return "fit", f"count (), coefficients ({d},), intercept ()"


def _newton_sums(plan: Plan, d: int) -> tuple[str, str]:
    triangle = (d + 1) * (d + 2) // 2
    first = f"first count (), weight (), positive (), sum ({d},)"
    return (
        "observe",
        f"{first}; then each round count (), weight (), loss (), gradient ({d + 1},), hessian ({triangle},)",
    )


def _shell_sums(plan: Plan, d: int) -> tuple[str, str]:
    triangle = d * (d + 1) // 2
    return "observe", f"each round cells of count, weight, sum ({d},), square ({d},), cross ({triangle},)"


_SHAPES: Mapping[tuple[Family, Strategy], Callable[[Plan, int], tuple[str, str]]] = {
    ("clustering", "one_shot"): _summaries,
    ("clustering", "article"): _means,
    ("clustering", "rounds"): _cluster_sums,
    ("classification", "one_shot"): _coefficients,
    ("classification", "rounds"): _newton_sums,
    ("distribution", "rounds"): _shell_sums,
}
