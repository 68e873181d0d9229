"""One federated training from its statement to the model at its silos; RESUME MODEL goes on where it was cut off."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from hanse import __version__
from hanse.anomalies.basis import ScoreBasis
from hanse.anomalies.profile import profile_of
from hanse.anomalies.score import ORDINARY_SHARE
from hanse.artifact import Artifact, ModelInfo
from hanse.errors import ArtifactError, CancelledError, FederationError, RegistryError, TransportError, WorkspaceError
from hanse.federation.coordinator import Coordinator
from hanse.federation.install import name_at_silos, stripped
from hanse.federation.journal import Run, SiloRecord, now
from hanse.federation.plan import Plan
from hanse.federation.scoring import score_quantiles
from hanse.federation.strategies import Federated, train_federated
from hanse.models.catalog import model_from_json
from hanse.models.clusters import is_clustering
from hanse.session.federated_plan import planned
from hanse.sql import nodes
from hanse.transforms.chain import Chain, ChainStep
from hanse.transforms.standard_scaler import StandardScaler
from hanse.transforms.vector_assembler import VectorAssembler
from hanse.types import Parameters, Progress

if TYPE_CHECKING:
    from hanse.registry import Registry
    from hanse.session.session import Session

__all__ = ["Made", "create", "resume"]

_CUT_OFF: Final = (CancelledError, RegistryError, TransportError, WorkspaceError)
"""What a run survives, beside the end of its process: RESUME MODEL goes on when it is over. All else ends the run."""


@dataclass(frozen=True)
class Made:
    """What a federated training gives the user."""

    info: ModelInfo
    federated: Federated
    warnings: tuple[str, ...]


def create(
    session: Session, statement: nodes.CreateFederatedModel, parameters: Parameters, progress: Progress | None
) -> Made:
    """Train over the silos, register the model, and offer it to them.

    Raises:
        FederationError: silos disagree, or the quorum was missed; nothing was registered.
    """
    name = str(statement.name)
    if statement.mode != "or_replace":
        session.registry.reserve(name)
    journal = session.federation.journal
    plan, records = planned(statement, parameters, journal)
    used = {k: v for k, v in parameters.items() if f"${k}" in statement.text}
    run = Run.new(name, statement.text, used)
    journal.begin(run)
    return _train(session, plan, records, run, statement, progress)


def resume(session: Session, name: str, progress: Progress | None) -> Made:
    """Go on with a run that was cut off; it ends with the same model as an undisturbed run.

    Wherever it was cut off: what the journal holds is not asked again, a model that this run has registered is not
    registered again, and it is offered to the silos that have not answered the offer yet.

    Raises:
        FederationError: there is no run of that name, or it is over.
    """
    from hanse.sql.parser import parse

    journal = session.federation.journal
    run = journal.last_run(name)
    again = f"CREATE FEDERATED MODEL {name} ... begins"
    if run is None:
        raise FederationError(f"no run of model {name}: {again} one")
    if run.status == "failed":
        raise FederationError(f"the last run of model {name} failed, and is over at its silos: {again} a new one")
    if run.status == "done" and not journal.silent(run.run_id, "install"):
        raise FederationError(f"the last run of model {name} is done: there is nothing to resume")
    if run.status == "done" and _registered(session.registry, name, run) is None:
        raise FederationError(f"the last run of model {name} is done, and its model was dropped: {again} a new one")
    (statement,) = parse(run.statement)
    assert isinstance(statement, nodes.CreateFederatedModel)  # nothing else begins a run
    plan, records = planned(statement, run.parameters, journal)
    return _train(session, plan, records, run, statement, progress)


def _train(
    session: Session,
    plan: Plan,
    records: Sequence[SiloRecord],
    run: Run,
    statement: nodes.CreateFederatedModel,
    progress: Progress | None,
) -> Made:
    """Every step is one that may have been taken before: RESUME MODEL takes them all again."""
    journal, registry = session.federation.journal, session.registry
    with session.federation.transport(records) as transport, journal.busy(run.run_id):
        coordinator = Coordinator(plan, transport, journal, run.run_id, progress)
        try:
            federated = train_federated(coordinator)
            _check_readable(_artifact(plan, federated, statement, coordinator, ScoreBasis()))
            basis, notes = _basis(plan, federated, statement, coordinator)
            found = _registered(registry, plan.model, run)
            if found is None:
                artifact = _artifact(plan, federated, statement, coordinator, basis)
                _check_readable(artifact)
                journal.settle()
                put = registry.replace if statement.mode == "or_replace" else registry.create
                found = put(plan.model, artifact), artifact
        except _CUT_OFF:
            raise
        except Exception:
            journal.finish(run.run_id, "failed")
            coordinator.end()
            raise
        warnings = [*_remarks(coordinator), *_remarks_of(plan, federated), *notes]
        try:
            warnings += _offer(coordinator, *found)
        except TransportError as error:
            warnings.append(f"the silos were not offered the model: {error}; RESUME MODEL {plan.model} offers it")
        else:
            journal.settle()
            coordinator.end()
            journal.finish(run.run_id, "done")
    return Made(found[0], federated, tuple(warnings))


def _registered(registry: Registry, name: str, run: Run) -> tuple[ModelInfo, Artifact] | None:
    """The version of a model that a run has registered, if it got so far and the version is still there."""
    for info in reversed(registry.list()):
        if info.name.lower() == name.lower():
            found = registry.load(info.name, info.version)
            if found[1].training.get("run") == run.run_id:
                return found
    return None


def _offer(coordinator: Coordinator, info: ModelInfo, artifact: Artifact) -> Iterator[str]:
    """Offer the finished model to every silo that took part; what is worth telling of it."""
    lost = dict(coordinator.lost)
    coordinator.plan = replace(coordinator.plan, options=replace(coordinator.plan.options, quorum=1))
    payload = {"name": name_at_silos(info.name), "artifact": msgspec.to_builtins(stripped(artifact))}
    with contextlib.suppress(FederationError):
        for silo, reply in coordinator.exchange("install", payload=payload).items():
            if reply.facts.get("pending"):
                yield f"silo {silo}: the model waits for its owner (hanse silo installs)"
    for silo, why in coordinator.lost.items():
        if silo not in lost:
            cure = f"; RESUME MODEL {info.name} offers it again" if silo in coordinator.silent else ""
            yield f"silo {silo} did not take the model over: {why}{cure}"


def _artifact(
    plan: Plan,
    federated: Federated,
    statement: nodes.CreateFederatedModel,
    coordinator: Coordinator,
    basis: ScoreBasis,
) -> Artifact:
    steps = [ChainStep("vector_assembler", plan.features, "features", VectorAssembler())]
    scaler = federated.scaler
    if scaler is not None:
        fitted = StandardScaler(
            tuple(scaler.mean.tolist()), tuple(scaler.deviation.tolist()), scaler.with_std, scaler.with_mean
        )
        steps.append(ChainStep("standard_scaler", ("features",), "scaled", fitted))
    model = federated.model.to_json()
    model["features"] = list(plan.features)
    training = {
        "run": coordinator.run_id,
        "rounds": federated.rounds,
        **{name: float(value) for name, value in federated.numbers.items()},
        **({"convergence": list(federated.convergence)} if federated.convergence else {}),
        "rows": federated.rows,
        "relation": plan.relation,
        "silos": list(coordinator.active),
        "lost": dict(coordinator.lost),
        "reasons": {silo: sorted(codes) for silo, codes in coordinator.reasons.items() if codes},
        "federated": asdict(plan.options),
    }
    return Artifact(
        model_type=plan.estimator.model_type,
        options=dict(plan.estimator_options),
        transforms=tuple(Chain(tuple(steps)).to_json()),  # type: ignore[arg-type]  # objects
        features=plan.features,
        model=model,
        training=training,
        source_sql=statement.query_text,
        row_count=federated.rows,
        created_at=now(),
        created_by=getpass.getuser(),
        hanse_version=__version__,
        fields=plan.features,
        scoring=basis.to_json(),
    )


def _check_readable(artifact: Artifact) -> None:
    """Refuse to keep, or to show the silos, what nobody could read.

    Raises:
        FederationError: the artifact cannot be read back.
    """
    try:
        back = Artifact.from_json(artifact.to_json(), where="the model that was trained")
        model = model_from_json(back.model_type, back.model)
        Chain.from_json(back.transforms)
        if back.scoring:
            ScoreBasis.from_json(back.scoring, model)
    except ArtifactError as error:
        silos = ", ".join(artifact.training["silos"])
        raise FederationError(
            f"what was trained over silos {silos} is no model that can be read: {error}; see SHOW EGRESS; no model was "
            "registered"
        ) from None


def _remarks_of(plan: Plan, federated: Federated) -> Iterator[str]:
    """What the plan and the model type themselves have to say of the training."""
    yield from plan.remarks
    if federated.numbers:
        yield from plan.estimator.remarks(federated.numbers)
    for feature in federated.flattened:
        yield (
            f"feature {feature} varies, but the silos' gates joined all its bins: the model takes it as constant, it "
            "counts for nothing in the scores; set MAX_ITER = 1 or NUM_BINS lower, for bins that need not be joined"
        )


def _basis(
    plan: Plan, federated: Federated, statement: nodes.CreateFederatedModel, coordinator: Coordinator
) -> tuple[ScoreBasis, list[str]]:
    """What scores need: from what the silos have released anyway, and a histogram of their scores."""
    basis = ScoreBasis()
    if is_clustering(federated.model):
        spread = federated.spread
        found = [c.spread for c in federated.model.clusters if c.spread is not None]
        if plan.strategy == "rounds" and len(found) == len(federated.model.clusters):
            spread = np.stack(found)  # of all silos' rows, found on the way
        profile = profile_of(federated.model.clusters, spread)
        ordinary = tuple(int(i) for i in np.flatnonzero(profile.coarse().share >= ORDINARY_SHARE))
        basis = ScoreBasis(profile, None, ordinary)
    told = basis.ordinary if is_clustering(federated.model) else hasattr(federated.model, "scores")
    if plan.strategy == "article" or not told:
        return basis, []
    draft = _artifact(plan, federated, statement, coordinator, basis)
    draft = msgspec.structs.replace(draft, created_at=_ANY_TIME, created_by="")  # the same when the run is resumed
    quantiles, notes = score_quantiles(coordinator, msgspec.to_builtins(stripped(draft)))
    return replace(basis, quantiles=quantiles), notes


_ANY_TIME = "1970-01-01T00:00:00+00:00"


def _remarks(coordinator: Coordinator) -> Iterator[str]:
    for silo, why in coordinator.lost.items():
        yield f"silo {silo} took no part: {why}"
    for silo, codes in coordinator.reasons.items():
        if codes and silo not in coordinator.lost:
            yield f"silo {silo}: its gate answered with {', '.join(sorted(codes))}"
