"""Taking a global model over: into the silo's registry, under the coordinator's name, never over a local model."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from hanse.anomalies.basis import ScoreBasis
from hanse.artifact import Artifact
from hanse.decoding import decoded
from hanse.errors import HanseError, UsageError, nearest
from hanse.federation.config import SiloConfig
from hanse.federation.refusals import RefusalError
from hanse.federation.scored import artifact_of
from hanse.federation.snapshot import private_folder
from hanse.models.catalog import model_from_json
from hanse.transforms.chain import Chain
from hanse.workspace import read_file, write_file

__all__ = ["Installer", "name_at_silos", "stripped"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_MOST_LETTERS: Final = 200
_LIMIT_BYTES: Final = 64 * 1024 * 1024
_TURNS: Final[dict[Path, threading.Lock]] = {}  # stores of one folder share a registry


def name_at_silos(model: str) -> str:
    """What a coordinator's model is called at the silos that take it over.

    Raises:
        UsageError: no silo could take over a model of that name.
    """
    name = f"league.{model}"
    if not _may_be_called(name):
        raise UsageError(
            f"model {model}: silos take a model over as league.NAME, where NAME has letters from A to Z, digits and _, "
            f"does not begin with a digit, and has at most {_MOST_LETTERS - len('league.')} letters: choose such a name"
        )
    return name


def _may_be_called(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and len(name) <= _MOST_LETTERS


def stripped(artifact: Artifact) -> Artifact:
    """An artifact as it may travel to a silo: names and numbers to predict and score with.

    Without training statistics, source SQL and the rows behind its clusters: of two silos, each could subtract itself.
    What scores need (:mod:`hanse.anomalies.basis`) travels to three digits.

    Raises:
        ArtifactError: the model or what its scores need cannot be read.
    """
    model = dict(artifact.model)
    scoring = artifact.scoring
    if scoring:
        basis = ScoreBasis.from_json(scoring, model_from_json(artifact.model_type, artifact.model))
        scoring = basis.coarse().to_json()
    if isinstance(model.get("clusters"), list):
        model["clusters"] = [{**c, "count": 0, "weight": 0.0, "inertia": 0.0} for c in model["clusters"]]
    return msgspec.structs.replace(artifact, model=model, training={}, source_sql="", row_count=0, scoring=scoring)


class Installer:
    """Models that wait for the owner, and those that were taken over.

    Args:
        config: of the silo.
    """

    def __init__(self, config: SiloConfig) -> None:
        self._config = config
        self._pending = private_folder(config.state / "pending")
        self._installed = config.state / "installed.json"

    def install(self, payload: dict[str, Any]) -> dict[str, Any]:
        """What a task of kind ``install`` asks, as far as the policy allows.

        Returns:
            facts: ``installed``, ``pending`` and ``name``.

        Raises:
            RefusalError: the policy says never, the artifact is unfit, or a local model has the name.
        """
        name = payload.get("name")
        if not isinstance(name, str) or not _may_be_called(name):
            raise RefusalError("protocol", "name: need COORDINATOR.MODEL, letters, digits and _")
        if self._config.policy.install == "never":
            raise RefusalError("policy", "install = never here")
        artifact = artifact_of(payload.get("artifact"))
        try:
            model_from_json(artifact.model_type, artifact.model)
            Chain.from_json(artifact.transforms)
            may_travel = stripped(artifact) == artifact
        except HanseError as error:
            raise RefusalError("artifact", "the model cannot be read", detail=str(error)) from None
        if not may_travel:
            text = "the model carries training statistics or source SQL, which must not travel"
            raise RefusalError("artifact", text)
        if self._config.policy.install == "ask":
            write_file(self._waiting(name), artifact.to_json())
            return {"installed": False, "pending": True, "name": name}
        self._put(name, artifact)
        return {"installed": True, "pending": False, "name": name}

    def waiting(self) -> list[str]:
        """Names of models that wait for the owner."""
        return sorted(path.stem for path in self._pending.glob("*.json"))

    def accept(self, name: str) -> None:
        """Put a waiting model into the registry.

        Raises:
            UsageError: no such model waits.
            RefusalError: a local model has the name.
        """
        path = self._known(name)
        self._put(name, Artifact.from_json(read_file(path, limit_bytes=_LIMIT_BYTES), where=str(path)))
        path.unlink()

    def reject(self, name: str) -> None:
        """Forget a waiting model.

        Raises:
            UsageError: no such model waits.
        """
        self._known(name).unlink()

    def _known(self, name: str) -> Path:
        path = self._waiting(name)
        if not path.exists():
            raise UsageError(f"no model {name} waits: {nearest(name, self.waiting())}")
        return path

    def _waiting(self, name: str) -> Path:
        return self._pending / f"{quote(name, safe='')}.json"

    def _put(self, name: str, artifact: Artifact) -> None:
        from hanse.registry import Registry

        turn = _TURNS.setdefault(self._config.registry.absolute(), threading.Lock())
        with turn, Registry.open(self._config.registry) as registry:
            taken = self._taken()
            if not registry.exists(name):
                self._note(taken, name, artifact)
                registry.create(name, artifact)
                return
            if registry.load(name)[1] == artifact:
                self._note(taken, name, artifact)  # another store of the same folder took it over first
                return
            if name.lower() not in taken:
                raise RefusalError("policy", f"a local model is called {name}: it is left as it is")
            self._note(taken, name, artifact)
            registry.update(name, artifact)

    def _taken(self) -> dict[str, str]:
        if not self._installed.exists():
            return {}
        return decoded(read_file(self._installed, limit_bytes=_LIMIT_BYTES), dict[str, str])

    def _note(self, taken: dict[str, str], name: str, artifact: Artifact) -> None:
        digest = hashlib.sha256(artifact.to_json()).hexdigest()
        if taken.get(name.lower()) != digest:
            taken[name.lower()] = digest
            write_file(self._installed, msgspec.json.encode(taken))
