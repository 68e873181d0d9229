"""What an estimator observes in a state, made once for all in this process that ask, or are asked, the same."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from hanse.decoding import decoded
from hanse.errors import HanseError
from hanse.estimator import Observation
from hanse.federation.asking import estimator_for, label_of
from hanse.federation.refusals import RefusalError
from hanse.federation.tally import Texts
from hanse.models.codec import state_from_plain

__all__ = ["Observed", "observed"]


@dataclass(frozen=True)
class Observed:
    """An observation over ``f0``, ``f1`` ...; nothing in it is a silo's own.

    Args:
        observation: of the state; its trees are for :attr:`texts` alone.
        texts: of its queries.
        label: the published column that is learned; empty for none.
        weight: the published column of weights; None for none.
    """

    observation: Observation
    texts: Texts
    label: str
    weight: str | None


def observed(model_type: str, options: Mapping[str, Any], state: Mapping[str, Any] | None, d: int) -> Observed:
    """The observation that a task with these fields asks for, over so many features.

    Raises:
        RefusalError: the model type, an option or the state is not what this code can take.
    """
    given = _plain(options), _plain(state)
    with _MAKING:  # whoever asks for the same meanwhile waits for it
        return _observed(model_type, *given, d)


_MAKING: Final = threading.Lock()
_plain = msgspec.json.Encoder(order="deterministic").encode


@functools.lru_cache(maxsize=2)  # a round's; one more, where two runs take turns
def _observed(model_type: str, options: bytes, state: bytes, d: int) -> Observed:
    estimator: Any = estimator_for(model_type, decoded(options, dict[str, Any]))
    label = label_of(estimator)
    inner = [f"f{i}" for i in range(d)]
    try:
        given = state_from_plain(type(estimator.start(inner)), decoded(state, dict[str, Any]))
        _check_state(given, d)
        if hasattr(given, "features"):
            given = dataclasses.replace(given, features=tuple(inner))
        observation = estimator.observe(given)
    except (HanseError, ValueError, IndexError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise RefusalError("protocol", "the state does not fit the model type", detail=str(error)) from None
    return Observed(observation, Texts(), label, estimator.weight_col)


def _check_state(state: Any, d: int) -> None:
    """Refuse a state that could send an estimator in circles, or that is of another width."""
    features = getattr(state, "features", None)
    if features is not None and len(features) != d:
        raise ValueError(f"the state has {len(features)} features, the task {d}")
    tree = getattr(state, "tree", ())
    for number, node in enumerate(tree):
        if node.sides is not None and not all(number < side < len(tree) for side in node.sides):
            raise ValueError(f"node {number} of the tree stands above itself")
