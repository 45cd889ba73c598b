"""What the program says that drives a trigger line: of each trigger that was written, whether it fired."""

import numpy as np
from numpy.typing import NDArray

from closedloop.session.latency import is_trigger
from closedloop.stimulators.lines.pipe_pair import ReplyKind
from closedloop.stimulators.lines.wire import TriggerLine

UNANSWERED_S = 1.0
"""A trigger of which nothing has been heard for so long: longer than a device takes that answers late."""


class LineWatch:
    """Follows a line; one that no program drives says nothing, and is never wrong.

    Parameters
    ----------
    line
        Open.

    Attributes
    ----------
    fired
        By number of the trigger, whether it is said to have fired; what is not known is not there.
    """

    def __init__(self, line: TriggerLine) -> None:
        self._line = line
        self.fired: dict[int, bool] = {}
        self._written = self._answered = 0
        self._waiting_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether a trigger has been written of which nothing was heard yet."""
        return self._line.replies is not None and self._answered < self._written

    def count(self, inputs: NDArray[np.void]) -> None:
        """Count the triggers that were written, among records of type ``INPUT``."""
        self._written += int(np.count_nonzero(is_trigger(inputs) & (inputs["code"] == 0)))

    def hear(self, now_s: float) -> list[str]:
        """Take what was said since the last time, and return what is wrong, one line each.

        Parameters
        ----------
        now_s
            The time, in s.
        """
        wrong = []
        for reply in self._line.take_replies():
            self._answered += 1
            if reply.kind == ReplyKind.FIRED:
                self.fired[reply.number] = True
            elif reply.kind == ReplyKind.UNKNOWN:
                wrong.append(f"{self._line.path}: {reply.text}")
            else:
                self.fired[reply.number] = False
                wrong.append(f"{self._line.path} did not fire: {reply.text}")
        if not self.waits:
            self._waiting_s = None
        elif self._waiting_s is None:
            self._waiting_s = now_s
        elif not now_s - self._waiting_s <= UNANSWERED_S:
            wrong.append(f"{self._line.path} has said nothing of a trigger for {UNANSWERED_S:g} s")
            self._answered, self._waiting_s = self._written, None
        return wrong
