"""What CREATE FEDERATED MODEL asks for, and of whom: a plan of names and numbers, before anybody is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from hanse.errors import BindError, nearest
from hanse.federation.journal import Journal, SiloRecord
from hanse.federation.plan import FederatedOptions, Plan
from hanse.models.catalog import estimator_of, for_rounds
from hanse.options import Given, build, describe
from hanse.sql import nodes
from hanse.sql.binder import bound_value
from hanse.sql.published import published_relation
from hanse.sql.steps import step_specs
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
    published = published_relation(statement.query)
    records = [journal.find_silo(str(name)) for name in statement.silos]
    given = [Given(o.key, bound_value(o.value, parameters), o.position, o.value_position) for o in statement.options]
    ours = [g for g in given if g.key.lower() in _FEDERATED]
    options: FederatedOptions = build(FederatedOptions, ours, "a federated model")
    estimator: Any = estimator_of([g for g in given if g not in ours], statement.position)
    if getattr(estimator, "weight_col", None) is not None:
        raise BindError("WEIGHT_COL over silos", "leave it out: a summary weighs what it holds", statement.position)
    if options.quorum > len(records):
        what = f"QUORUM = {options.quorum} of {len(records)} silos"
        raise BindError(what, "need at most as many", statement.position)
    features, scales = _features(statement, parameters, published.columns)
    if options.strategy == "rounds":
        estimator, _ = for_rounds(estimator)
    ids = tuple(silo_id(record) for record in records)
    plan = Plan(str(statement.name), published.relation, features, ids, estimator, asdict(estimator), options, scales)
    return plan, records


def silo_id(record: SiloRecord) -> str:
    """What tasks call a silo: its subject or name, and its store where it has several."""
    options = record.options
    if "database" in options and "config" in options:
        from hanse.federation.config import SiloConfig

        base = SiloConfig.load(options["config"]).name
    else:
        base = options.get("subject", record.name)
    store = options.get("store")
    return base if store is None else f"{base}/{quote(store, safe='')}"


def _features(
    statement: nodes.CreateFederatedModel, parameters: Parameters, columns: Sequence[str]
) -> tuple[tuple[str, ...], tuple[bool, bool] | None]:
    """The features, and whether (withStd, withMean) they are scaled on all silos' moments.

    Raises:
        BindError: a transform that cannot be fitted over silos, or a column that the SELECT does not name.
    """
    steps = step_specs(statement.transform, parameters)
    if not steps:
        return tuple(columns), None
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
    d, c, k = len(plan.features), plan.options.local_clusters, getattr(plan.estimator, "num_clusters", 1)
    if plan.scales is not None:
        yield "moments", f"count (), mean ({d},), m2 ({d},)"
    if plan.strategy == "article":
        yield "summarize", f"mean ({c}, {d})"
    elif plan.strategy == "one_shot":
        yield "summarize", f"count ({c},), sum ({c}, {d}), square ({c}, {d})"
    else:
        triangle = d * (d + 1) // 2
        yield "observe", f"each round up to {k} cells of count, weight, sum ({d},), square, cross ({triangle},)"
