"""Several transports as one: silos in this process beside silos over a broker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from hanse.errors import HanseError
from hanse.messages import Reply, Task
from hanse.transports.base import Transport, handed_on

__all__ = ["Together"]


class Together:
    """Asks each silo over the transport that knows it, all at the same time.

    Args:
        transports: whose silos are distinct.
    """

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._transports = list(transports)

    def silos(self) -> Sequence[str]:
        """The silos that can be asked, sorted."""
        return sorted(silo for transport in self._transports for silo in transport.silos())

    def ask(
        self, tasks: Mapping[str, Task], timeout_s: float, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[Reply]:
        """Ask them; see :meth:`hanse.transports.base.Transport.ask`."""
        parts = []
        for transport in self._transports:
            own = set(transport.silos())
            mine = {silo: task for silo, task in tasks.items() if silo in own}
            if mine:
                parts.append((transport, mine))
        if len(parts) == 1:
            yield from parts[0][0].ask(parts[0][1], timeout_s, meanwhile)
            return
        replies: queue.SimpleQueue[Reply | HanseError | None] = queue.SimpleQueue()

        def listen(transport: Transport, mine: Mapping[str, Task]) -> None:
            try:
                for reply in transport.ask(mine, timeout_s):
                    replies.put(reply)
                replies.put(None)
            except HanseError as error:
                replies.put(error)

        for transport, mine in parts:
            threading.Thread(target=listen, args=(transport, mine), daemon=True).start()
        if meanwhile is not None:
            meanwhile()
        open_ = len(parts)
        for reply in handed_on(replies, None):
            if isinstance(reply, HanseError):
                raise reply
            if reply is not None:
                yield reply
                continue
            open_ -= 1
            if not open_:
                return

    def close(self) -> None:
        """Close them all."""
        for transport in self._transports:
            transport.close()
