"""The trials of a session, drawn before it: conditions in order, catch trials, intervals.

Everything random is drawn here, from one seed, and stored with the session; the loop draws nothing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Shuffle = Literal["balanced", "random", "none"]


@dataclass(frozen=True)
class Trials:
    """A list of trials; all arrays are of shape (n_trials,).

    Attributes
    ----------
    condition
        Place of each trial's condition in the pipeline's list.
    withheld
        True for a catch trial: it passes every gate and is not fired.
    random_target
        Target phase in rad for a condition that has none of its own.
    wait_s
        Time from the trial's last pulse to the next trial's first, in s.
    """

    condition: NDArray[np.int64]
    withheld: NDArray[np.bool_]
    random_target: NDArray[np.float64]
    wait_s: NDArray[np.float64]


def draw_trials(
    n_fired: int,
    n_conditions: int,
    *,
    shuffle: Shuffle,
    withhold: float,
    min_interval_s: float,
    jitter_s: float,
    seed: int,
) -> Trials:
    """Draw trials until a wanted number of them will be fired.

    Parameters
    ----------
    n_fired
        Trials to fire; the withheld ones come on top.
    n_conditions
        Number of conditions.
    shuffle
        ``balanced``: blocks that hold each condition once, in random order, so that no condition
        ever leads by more than one; ``random``: each drawn anew; ``none``: in turn.
    withhold
        Probability that a trial is withheld, below 1.
    min_interval_s, jitter_s
        Shortest interval between trials, and the width of the uniform jitter on top, in s.
    seed
        Of everything that is random.
    """
    rng = np.random.default_rng(seed)
    withheld: list[bool] = []
    while withheld.count(False) < n_fired:
        withheld.append(bool(rng.random() < withhold))
    n_trials = len(withheld)
    n_blocks = -(-n_trials // n_conditions)
    if shuffle == "balanced":
        condition = np.concatenate([rng.permutation(n_conditions) for _ in range(n_blocks)])
    elif shuffle == "random":
        condition = rng.integers(n_conditions, size=n_trials)
    else:
        condition = np.tile(np.arange(n_conditions), n_blocks)
    return Trials(
        condition=condition[:n_trials].astype(np.int64),
        withheld=np.array(withheld),
        random_target=rng.uniform(-np.pi, np.pi, n_trials),
        wait_s=min_interval_s + jitter_s * rng.random(n_trials),
    )
