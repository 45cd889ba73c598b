"""The output of a Magstim stand-in: after a change of power it takes its time to get there."""

SLEW_DOWN_S, SLEW_UP_S = 0.1, 0.01
"""For each percent."""


class Output:
    """An output in percent that follows what is set.

    Parameters
    ----------
    percent
        Where it begins.
    """

    def __init__(self, percent: int) -> None:
        self.percent = percent
        self._from, self._start_s = float(percent), 0.0

    def set(self, percent: int, now_s: float) -> None:
        """Head for another value from where it is."""
        self._from += self._done(now_s) * (self.percent - self._from)
        self.percent, self._start_s = percent, now_s

    def settled(self, now_s: float) -> bool:
        """Return whether it has arrived."""
        return self._done(now_s) >= 1.0 - 1e-9

    def _done(self, now_s: float) -> float:
        change = self.percent - self._from
        whole_s = abs(change) * (SLEW_UP_S if change > 0 else SLEW_DOWN_S)
        return min(1.0, (now_s - self._start_s) / whole_s) if whole_s else 1.0
