"""Types are learned whole before any thread reads with them."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from hanse.decoding import converted, decoded

_SLOWLY = """
import importlib.util, sys, threading, time

found = importlib.util.find_spec("msgspec").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("msgspec._utils", found + "/_utils.py")
learning = sys.modules["msgspec._utils"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(learning)
quick = {name: getattr(learning, name) for name in ("get_class_annotations", "get_dataclass_info")}
calls = []

def slowly(name):
    def learn(kind):
        calls.append(kind.__name__)
        time.sleep(0.1)
        return quick[name](kind)
    return learn

for name in quick:
    setattr(learning, name, slowly(name))

import numpy as np
from hanse import messages
from hanse.models.codec import state_from_plain, state_to_plain
from hanse.models.mahalanobis import Mahalanobis

reply = messages.encode(messages.Reply(
    run="r", round=1, silo="a", task_hash="h", status="ok", reasons=(messages.Reason(code="merged", cells=(1,)),)
))
state = Mahalanobis().start(["x"])
plain = state_to_plain(state)
assert not calls  # nothing has been learned yet
ends = []

def read(number):
    time.sleep(number * 0.04)  # so that one begins while another is at a nested type
    if number % 2:
        ends.append(messages.decode(reply, messages.Reply).reasons[0].cells == (1,))
    else:
        ends.append(state_to_plain(state_from_plain(type(state), plain)) == plain)

threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert {"Reply", "Reason", type(state).__name__} <= set(calls), calls
assert ends == [True] * 8, ends
"""


def test_threads_that_read_a_type_for_the_first_time_at_once_all_read_it() -> None:
    """With msgspec's learning slowed down so that they are sure to meet in it; alone they crash the process there."""
    ended = subprocess.run([sys.executable, "-c", _SLOWLY], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    x: float


def test_reading_is_strict() -> None:
    assert decoded(b'{"x": 1.5}', Point) == converted({"x": 1.5}, Point) == Point(1.5)
    for wrong in ("{}", '{"x": "1"}', '{"x": 1, "y": 2}'):
        with pytest.raises(msgspec.ValidationError):
            decoded(wrong, Point)
        with pytest.raises(msgspec.ValidationError):
            converted(msgspec.json.decode(wrong), Point)
    with pytest.raises(ValueError, match="JSON is malformed"):
        decoded("{x}", Point)
