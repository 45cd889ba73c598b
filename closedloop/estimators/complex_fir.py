"""The step that all linear estimators share: a complex FIR filter over the windows of one or more inputs.

Each input has a window of its own (see `window`): many values of the named signal itself, fewer of the
channels that only help. One complex weight belongs to each value and lead.

Slots of the state array::

    0 inputs I   1 slots of all weights of one lead W
    then the output (see `output`), the place where each input's window begins and where
    its weights begin within a lead's (I of each), the weights (N_LEADS times W: for each input K real, then
    K imaginary, oldest value first), the windows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from closedloop.estimators.interface import STEP
from closedloop.estimators.output import N_SLOTS, UNKNOWN, ErrorModel, give, give_none, output_slots
from closedloop.estimators.window import remember, window_slots
from closedloop.jit import compiled, inner

_INPUTS, _WEIGHTS = range(2)
_HEADER = 2
OUTPUT = _HEADER
"""Where the slots of the output begin."""
_PLACES = OUTPUT + N_SLOTS


def fir_state(
    weights: Sequence[NDArray[np.complex128]],
    *,
    strides: Sequence[int],
    error: ErrorModel = UNKNOWN,
) -> NDArray[np.float64]:
    """Lay a filter out as the state array of ``complex_fir``.

    Parameters
    ----------
    weights
        For each input a complex array of shape (N_LEADS, n_values), oldest value first.
    strides
        For each input the samples per value and between values.
    error
        The model of its error, at every lead.
    """
    lanes = np.concatenate([part for w in weights for part in (w.real, w.imag)], axis=1)
    memories = [window_slots(w.shape[1], stride) for w, stride in zip(weights, strides, strict=True)]
    first_weight = np.cumsum([0, *(2 * w.shape[1] for w in weights[:-1])])
    first_memory = _PLACES + 2 * len(weights) + lanes.size
    begins = first_memory + np.cumsum([0, *(memory.size for memory in memories[:-1])])
    header = np.array([len(weights), lanes.shape[1]], float)
    return np.concatenate([header, output_slots(error), begins, first_weight, lanes.ravel(), *memories])


@inner
def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sum of products in four interleaved sums: one alone waits for itself at every step."""
    first = second = third = fourth = 0.0
    whole = a.size - a.size % 4
    for k in range(0, whole, 4):
        first += a[k] * b[k]
        second += a[k + 1] * b[k + 1]
        third += a[k + 2] * b[k + 2]
        fourth += a[k + 3] * b[k + 3]
    for k in range(whole, a.size):
        first += a[k] * b[k]
    return (first + second) + (third + fourth)


@compiled(STEP)
def complex_fir(
    state: NDArray[np.float64],
    x: NDArray[np.float64],
    first: int,
    stop: int,
    z: NDArray[np.complex128],
    sd: NDArray[np.float64],
) -> None:
    """Take one sample in µV; write prediction and SD for the leads ``first`` to ``stop - 1``."""
    n_inputs = int(state[_INPUTS])
    n_weights = int(state[_WEIGHTS])
    begins = _PLACES
    first_weight = _PLACES + n_inputs
    weights = _PLACES + 2 * n_inputs
    for lead in range(first, stop):
        z[lead] = complex(0.0, 0.0)
    full = True
    for i in range(n_inputs):
        memory = state[int(state[begins + i]) :]
        begin = remember(memory, x[i])
        if begin < 0:
            full = False
            continue
        n_values = int(memory[0])
        window = memory[begin : begin + n_values]
        for lead in range(first, stop):
            at = weights + lead * n_weights + int(state[first_weight + i])
            re = _dot(state[at : at + n_values], window)
            im = _dot(state[at + n_values : at + 2 * n_values], window)
            z[lead] += complex(re, im)
    if not full:
        give_none(first, stop, z, sd)
        return
    for lead in range(first, stop):
        give(state[OUTPUT : OUTPUT + N_SLOTS], lead, z[lead], z, sd)
