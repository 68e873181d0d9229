"""How silos and coordinator come to one model: ``one_shot``, ``article`` and ``rounds``, one function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.errors import DataError, FederationError, ShapeError, nearest
from hanse.estimator import WEIGHT, Estimator, Family, Model, train
from hanse.federation.checks import (
    checked,
    clusters_of,
    columns_of,
    counted,
    in_range,
    not_far,
    part_of,
    spread_of,
)
from hanse.federation.coordinator import Coordinator, SiloLostError
from hanse.federation.plan import Scaler
from hanse.messages import Reply, Strategy
from hanse.models.catalog import for_rounds
from hanse.models.codec import state_to_plain
from hanse.models.ecod import Ecod
from hanse.statistics import FloatArray

__all__ = ["STRATEGIES", "Federated", "train_federated"]


@dataclass(frozen=True)
class Federated:
    """What a federated training gives.

    Args:
        model: over scaled features, where there is a scaler.
        scaler: fitted on all silos.
        rows: that took part, as far as released cells tell.
        numbers: inertia, clusters ...
        rounds: exchanges that were made.
        convergence: inertia after each step over the silos, from the first that tells one.
        spread: (k, d) of each feature in each cluster, in scaled units; None where the strategy does not tell.
        flattened: features that vary, and that the model takes as constant: the gates joined all their bins.
    """

    model: Model
    scaler: Scaler | None
    rows: int
    numbers: Mapping[str, float]
    rounds: int
    convergence: tuple[float, ...] = ()
    spread: FloatArray | None = None
    flattened: tuple[str, ...] = ()


def train_federated(coordinator: Coordinator) -> Federated:
    """Run the plan's strategy to its end.

    Raises:
        FederationError: silos disagree about the relation, the quorum was missed, or no model comes of their numbers.
    """
    _describe(coordinator)
    scaler = _moments(coordinator) if coordinator.plan.scales is not None else None
    try:
        result = STRATEGIES[coordinator.plan.family, coordinator.plan.strategy](coordinator, scaler)
    except DataError as error:
        raise FederationError(f"{error}; no model was registered") from None
    except (ShapeError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise FederationError(
            f"no model comes of what silos {', '.join(coordinator.active)} released, though none of it is impossible "
            f"by itself: {error}; see SHOW EGRESS; no model was registered"
        ) from None
    return replace(result, rounds=coordinator.round)


# -- what every strategy begins with ----------------------------------------------------------


def _describe(coordinator: Coordinator) -> None:
    """Compare what the silos publish, before anything is computed.

    Raises:
        FederationError: a column is missing, of another type, or defined in another way; names silo and column.
    """
    replies = coordinator.exchange("describe")
    plan = coordinator.plan
    first: tuple[str, Mapping[str, str]] | None = None
    for silo, published in coordinator.read(replies, columns_of).items():
        columns = {name.lower(): type_ for name, type_ in published.items()}
        for feature in plan.columns:
            if feature.lower() not in columns:
                raise FederationError(
                    f"silo {silo} does not publish column {feature} of {plan.relation}: {nearest(feature, published)}"
                )
        if first is None:
            first = silo, columns
            continue
        other, others = first
        for feature in plan.columns:
            mine, theirs = columns[feature.lower()], others[feature.lower()]
            if mine != theirs:
                raise FederationError(
                    f"column {feature} of {plan.relation} is {mine} at silo {silo} and {theirs} at silo {other}: "
                    "publish the same types"
                )
        if replies[silo].facts.get("definition") != replies[other].facts.get("definition"):
            raise FederationError(
                f"silo {silo} defines {plan.relation} in another way than silo {other} (its SQL, parameters or bounds "
                "differ): the same name must mean the same features everywhere"
            )


def _moments(coordinator: Coordinator) -> Scaler:
    """Mean and deviation of each feature over all silos (Chan, Golub & LeVeque 1979, for the sums of squares)."""
    d = len(coordinator.plan.features)

    def own(silo: str, reply: Reply) -> tuple[float, FloatArray, FloatArray]:
        n = float(counted(silo, "count", reply.statistics.get("count"), (), least=1))
        theirs = not_far(silo, "mean", checked(silo, "mean", reply.statistics.get("mean"), (d,)))
        spread = checked(silo, "m2", reply.statistics.get("m2"), (d,))
        in_range(silo, "m2", spread, spread < 0, "0 or more")
        return n, theirs, spread

    count, mean, square = 0.0, np.zeros(d), np.zeros(d)
    for silo, (n, theirs, spread) in coordinator.read(coordinator.exchange("moments"), own).items():
        away = theirs - mean
        square = square + spread + away**2 * count * n / (count + n)
        mean = mean + away * n / (count + n)
        count += n
        coordinator.rows[silo] = n
    if count < 2:
        raise FederationError("no silo released its moments: features cannot be standardised; see SHOW EGRESS")
    assert coordinator.plan.scales is not None  # asked only then
    with_std, with_mean = coordinator.plan.scales
    return Scaler(mean, np.sqrt(square / (count - 1)), with_mean, with_std)


def _payload(scaler: Scaler | None) -> dict[str, Any]:
    return {"scaler": None if scaler is None else scaler.to_plain()}


# -- one_shot and article ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Summary:
    """Released local clusters of all silos: counts (c,), sums (c, d) and per-feature squares (c, d)."""

    count: FloatArray
    sums: FloatArray
    squares: FloatArray


def _one_shot(coordinator: Coordinator, scaler: Scaler | None) -> Federated:
    """Count-weighted clustering of the silos' cluster summaries."""
    summary = _summaries(coordinator, scaler)
    return _cluster(coordinator, scaler, summary.sums / summary.count[:, None], summary.count, summary)


def _article(coordinator: Coordinator, scaler: Scaler | None) -> Federated:
    """Unweighted clustering of the silos' cluster means, as the article does it."""
    d = len(coordinator.plan.features)

    def own(silo: str, reply: Reply) -> FloatArray:
        means = clusters_of(silo, "mean", reply.statistics.get("mean"), d, coordinator.plan.options.local_clusters)
        return not_far(silo, "mean", means)

    replies = coordinator.exchange("summarize", payload=_summarize(coordinator, scaler))
    means = coordinator.read(replies, own)
    points = np.concatenate([*means.values()])
    return _cluster(coordinator, scaler, points, np.ones(len(points)), None)


def _summarize(coordinator: Coordinator, scaler: Scaler | None) -> dict[str, Any]:
    return {**_payload(scaler), "clusters": coordinator.plan.options.local_clusters}


def _summaries(coordinator: Coordinator, scaler: Scaler | None) -> _Summary:
    d = len(coordinator.plan.features)

    def own(silo: str, reply: Reply) -> _Summary:
        told, most = reply.statistics, coordinator.plan.options.local_clusters
        sums, squares = (clusters_of(silo, name, told.get(name), d, most) for name in ("sum", "square"))
        count = counted(silo, "count", reply.statistics.get("count"), (len(sums),), least=1)
        checked(silo, "square", squares, sums.shape)
        spread_of(silo, "square", count, sums, squares)
        not_far(silo, "sum", sums, count[:, None])
        if silo in coordinator.rows:
            part_of(silo, count, coordinator.rows[silo], whole=True)
        return _Summary(count, sums, squares)

    replies = coordinator.exchange("summarize", payload=_summarize(coordinator, scaler))
    parts = list(coordinator.read(replies, own).values())
    return _Summary(
        np.concatenate([p.count for p in parts]),
        np.concatenate([p.sums for p in parts]),
        np.concatenate([p.squares for p in parts]),
    )


def _cluster(
    coordinator: Coordinator, scaler: Scaler | None, points: FloatArray, weight: FloatArray, summary: _Summary | None
) -> Federated:
    """Train the plan's estimator on summaries, as rows with weights."""
    import pyarrow as pa

    d = points.shape[1]
    names = [f"f{i}" for i in range(d)]
    if len(points) < 2:
        raise FederationError(
            f"{len(points)} cluster summary was released in all: too few to train on; raise LOCAL_CLUSTERS or lower "
            "MIN_CUSTOMERS"
        )
    table = pa.table({**{f: points[:, i] for i, f in enumerate(names)}, WEIGHT: weight})
    wanted = min(getattr(coordinator.plan.estimator, "num_clusters", 2), len(points))
    chosen: Any = coordinator.plan.estimator
    estimator = replace(chosen, weight_col=WEIGHT, num_clusters=wanted)
    engine = DuckDB(threads=1)
    try:
        engine.register("summaries", table)
        trained = train(estimator, names, [lambda o: engine.observe("summaries", o)])
        label = next(iter(trained.model.predict([e.column(f) for f in names]).values()))
        labels = [row[0] for row in engine.rows(f"SELECT {engine.text(label)} FROM summaries")]
    finally:
        engine.close()
    if summary is None:
        return Federated(trained.model, scaler, 0, trained.numbers, 0)
    model, within = _counted(trained.model, np.array(labels), summary)
    spread = np.sqrt(within / np.maximum([[c.weight] for c in model.clusters], 1.0))
    numbers = {**trained.numbers, "inertia": sum(c.inertia for c in model.clusters)}
    return Federated(model, scaler, int(summary.count.sum()), numbers, 0, spread=spread)


def _counted(model: Any, labels: Any, summary: _Summary) -> tuple[Any, FloatArray]:
    """The model with the rows behind its clusters and their inertia, spread within summaries included.

    Returns:
        the model; and (k, d) the inertia by feature.
    """
    clusters, within = [], []
    for number, cluster in enumerate(model.clusters):
        inside = labels == number
        count, sums, squares = (a[inside].sum(axis=0) for a in (summary.count, summary.sums, summary.squares))
        within.append(np.maximum(squares - sums**2 / max(count, 1.0), 0.0))
        clusters.append(replace(cluster, count=int(count), weight=float(count), inertia=float(within[-1].sum())))
    return replace(model, clusters=tuple(clusters)), np.array(within)


# -- one_shot of models with coefficients ------------------------------------------------------


def _averaged(coordinator: Coordinator, scaler: Scaler | None) -> Federated:
    """The average of the silos' own coefficients, each weighted by the silo's rows.

    Source:
        McDonald, Mohri, Silberman, Walker & Mann (2009), "Efficient large-scale distributed training of conditional
        maximum entropy models": mixture weights.
    """
    d = len(coordinator.plan.features)

    def own(silo: str, reply: Reply) -> tuple[float, FloatArray, float]:
        count = counted(silo, "count", reply.statistics.get("count"), (), least=1)
        if silo in coordinator.rows:
            part_of(silo, count, coordinator.rows[silo], whole=True)
        coefficients = checked(silo, "coefficients", reply.statistics.get("coefficients"), (d,))
        intercept = checked(silo, "intercept", reply.statistics.get("intercept"), ())
        not_far(silo, "coefficients", coefficients)
        return float(count), coefficients, float(not_far(silo, "intercept", intercept))

    parts = list(coordinator.read(coordinator.exchange("fit", payload=_payload(scaler)), own).values())
    estimator: Any = coordinator.plan.estimator
    rows = int(sum(count for count, _, _ in parts))
    return Federated(estimator.averaged(coordinator.plan.features, parts), scaler, rows, {}, 0)


# -- rounds -----------------------------------------------------------------------------------


def _rounds(coordinator: Coordinator, scaler: Scaler | None) -> Federated:
    """Every step's statistics from every silo: the centralised model, to rounding.

    When a silo drops out and the quorum holds, the steps begin anew without it, so that no sum mixes two sets of silos.
    """
    while True:
        try:
            return _train_in_rounds(coordinator, scaler)
        except SiloLostError:
            continue


def _train_in_rounds(coordinator: Coordinator, scaler: Scaler | None) -> Federated:
    estimator, seeding = for_rounds(coordinator.plan.estimator)
    members = list(coordinator.active)
    rows: list[float] = []
    inertia: list[float] = []

    features = coordinator.plan.features

    def holder_of(trained: Estimator[Any]) -> Callable[[Any], Any]:
        def step(state: Any) -> Any:
            options = asdict(trained)  # type: ignore[call-overload]  # estimators are dataclasses
            total = coordinator.observe(trained.model_type, options, state_to_plain(state), _payload(scaler))
            if coordinator.active != members:
                raise SiloLostError(f"silos {', '.join(coordinator.lost)} dropped out")
            if not rows:
                rows.append(float(total["count"]))
            after = trained.advance(state, total)
            if trained is estimator:
                inertia.append(estimator.progress(after).get("inertia", 0.0))
            return after

        return step

    if seeding is None:
        state = _advanced(estimator, estimator.start(features), holder_of(estimator))
    else:
        seeds = _advanced(seeding, seeding.start(features), holder_of(seeding))
        state = _advanced(estimator, estimator.start_at(seeding.model(seeds)), holder_of(estimator))
    told = tuple(x for x in inertia if x > 0)
    model, numbers = estimator.model(state), estimator.progress(state)
    flattened = estimator.flattened(state) if isinstance(estimator, Ecod) else ()
    return Federated(model, scaler, int(rows[0]), numbers, 0, told, flattened=flattened)


def _advanced(estimator: Estimator[Any], state: Any, step: Callable[[Any], Any]) -> Any:
    while not estimator.done(state):
        state = step(state)
    return state


STRATEGIES: Mapping[tuple[Family, Strategy], Callable[[Coordinator, Scaler | None], Federated]] = {
    ("clustering", "one_shot"): _one_shot,
    ("clustering", "article"): _article,
    ("clustering", "rounds"): _rounds,
    ("classification", "one_shot"): _averaged,
    ("classification", "rounds"): _rounds,
    ("distribution", "rounds"): _rounds,
}
"""For each family of models the strategies that it has."""
