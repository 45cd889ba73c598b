"""What the program says that drives a trigger line: of each trigger that was written, whether it fired, and when."""

import numpy as np
from numpy.typing import NDArray

from closedloop.session.latency import is_trigger
from closedloop.stimulators.lines.pipe_pair import OLDEST_S, Reply, ReplyKind
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
    fired_after_s
        By number of the trigger, how long after its write it is said to have fired, in s; None where it did not. What
        is not known is not there.
    """

    def __init__(self, line: TriggerLine) -> None:
        self._line = line
        self.fired_after_s: dict[int, float | None] = {}
        self._written_s: list[float] = []
        self._answered = 0
        self._early: list[Reply] = []
        self._waiting_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether a trigger has been written of which nothing was heard yet."""
        return self._line.replies is not None and self._answered < len(self._written_s)

    def count(self, inputs: NDArray[np.void]) -> None:
        """Count the triggers that were written, among records of type ``INPUT``."""
        self._written_s.extend(inputs["now"][is_trigger(inputs) & (inputs["code"] == 0)].tolist())

    def hear(self, now_s: float) -> list[str]:
        """Take what was said since the last time, and return what is wrong, one line each.

        Parameters
        ----------
        now_s
            The time, in s.
        """
        wrong = []
        before = self._answered
        heard, self._early = [*self._early, *self._line.take_replies()], []
        for reply in heard:
            if reply.number >= len(self._written_s):
                self._early.append(reply)  # the record of its trigger has not come out of the loop yet
                continue
            # By number: an answer that came after all does not stand for the next one.
            self._answered = max(self._answered, reply.number + 1)
            wrong += self._take(reply)
        if not self.waits:
            self._waiting_s = None
        elif self._answered > before or self._waiting_s is None:
            self._waiting_s = now_s
        elif not now_s - self._waiting_s <= UNANSWERED_S:
            wrong.append(f"{self._line.path} has said nothing of a trigger for {UNANSWERED_S:g} s")
            self._answered, self._waiting_s = len(self._written_s), None
        return wrong

    def _take(self, reply: Reply) -> list[str]:
        """Take what was said, and return what is wrong with it."""
        if reply.number < 0 or reply.kind == ReplyKind.UNKNOWN:
            return [f"{self._line.path}: {reply.text}"]
        if reply.kind != ReplyKind.FIRED:
            self.fired_after_s[reply.number] = None
            return [f"{self._line.path} did not fire: {reply.text}"]
        after_s = reply.fired_s - self._written_s[reply.number]
        self.fired_after_s[reply.number] = after_s
        if not after_s <= OLDEST_S:
            return [f"{self._line.path} fired {1e3 * after_s:.1f} ms after its trigger (at most {1e3 * OLDEST_S:g})"]
        return []
