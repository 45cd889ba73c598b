"""Real-time, EEG-guided, closed-loop brain stimulation.

Research software, not a medical device.
"""

from typing import Any

__all__ = ["PhasePredictor", "Phases", "design"]


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for: the command line starts without it."""
    if name in __all__:
        from closedloop.calibration import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
