"""When a stimulator is asked how it is: often enough for the gate, and where no trigger suffers from it."""

from collections.abc import Callable

from closedloop.stimulators.heartbeat import Timetable

HELD_BACK_S = 0.2
"""For so long at most a question is held back: the gate wants to hear of the device, and the device of its host."""
QUESTION_S = 0.01
"""So long a question takes to reach the device; what a trigger has overtaken would be answered as of after it."""


class Asking:
    """Keeps the time of the next question.

    Parameters
    ----------
    timetable
        Of the loop's triggers.
    clear_s
        How long the port has to be free before a trigger, in s.
    clock
        Gives s.
    """

    def __init__(self, timetable: Timetable, clear_s: float, clock: Callable[[], float]) -> None:
        self._timetable, self._clear_s, self._clock = timetable, clear_s, clock
        self._wanted_s = clock()

    def want(self) -> None:
        """Ask as soon as that can be; what is wanted already is not put off."""
        self._wanted_s = min(self._wanted_s, self._clock())

    def asked(self, again_s: float) -> None:
        """Take note that it was asked now, and has to be in so many s again."""
        self._wanted_s = self._clock() + again_s

    def wait_s(self, recharge_s: float) -> float:
        """Return how long to wait before it is asked, in s; 0 where it is time.

        No question comes while it recharges from a trigger, nor where the next one is about to come, or should just
        have: as far as that is foreseen, and for so long as a question can be held back.
        """
        wanted_in_s = self._wanted_s - self._clock()
        free_in_s = max(0.0, wanted_in_s, recharge_s - self._timetable.left_ago_s)
        due_in_s = self._timetable.due_in_s
        if abs(due_in_s - free_in_s) <= self._clear_s:
            free_in_s = due_in_s + self._clear_s
        return max(0.0, min(free_in_s, wanted_in_s + HELD_BACK_S))
