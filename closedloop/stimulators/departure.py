"""The moment at which what fires leaves: looked at right before, and noted right after."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

AT_ANY_TIME: AbstractContextManager[None] = nullcontext()
"""Of what is fired where time does not matter."""


class TooLateError(Exception):
    """What fires would have left later than it may, and did not."""


class Departure:
    """A ``with`` block around the one call that fires, in which nothing is waited for before that call.

    Parameters
    ----------
    latest_s
        Where it is later than this, the block is not entered.
    clock
        Gives s.

    Attributes
    ----------
    begun
        Whether the block was entered: from then on it may have fired, whatever fails.
    left_s
        When the call had returned, in s; NaN before that.

    Raises
    ------
    TooLateError
        On entering.
    """

    def __init__(self, latest_s: float, clock: Callable[[], float]) -> None:
        self._latest_s, self._clock = latest_s, clock
        self.begun, self.left_s = False, float("nan")

    def __enter__(self) -> None:
        late_s = self._clock() - self._latest_s
        if not late_s <= 0.0:
            raise TooLateError(f"it would have left {1e3 * late_s:.1f} ms too late")
        self.begun = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left_s = self._clock()
