"""Small cases, and a method whose predictions are given."""

import numpy as np
import pytest

from closedloop.accuracy.case import make_cases
from closedloop.estimators.interface import LEADS_S, N_LEADS, STEP, Designed
from closedloop.jit import compiled
from closedloop.signal.spatial import bipolar
from closedloop.sources.synthetic import simulate

SFREQ = 125.0
WEIGHTS = bipolar("O1", "Fz")


@compiled(STEP)
def recite(state, x, first, stop, z, sd):
    """Say what is written for each sample. Slots: samples so far, then for each real, imaginary, SD by lead."""
    at = 1 + int(state[0]) * 3 * N_LEADS
    state[0] += 1.0
    for lead in range(first, stop):
        z[lead] = complex(state[at + 3 * lead], state[at + 3 * lead + 1])
        sd[lead] = state[at + 3 * lead + 2]


def recite_all(z, sd):
    """Return a method that predicts z with SD sd, both of shape (n_samples, N_LEADS)."""
    written = np.stack([z.real, z.imag, np.broadcast_to(sd, z.shape)], axis=-1)
    return Designed(recite, np.concatenate([[0.0], written.ravel()]), 0.0, {})


def look_up(case, truth, *, error=0.0, sd=0.1, amplitude=1.0):
    """Return a method that knows a case's truth and is off by an error in rad; arrays by sample."""
    times_s = np.arange(len(case.inputs))[:, None] / case.sfreq + LEADS_S
    by_sample = [np.broadcast_to(np.asarray(value, float), len(case.inputs))[:, None] for value in (error, amplitude)]
    phase = case.reference.member_at(truth, times_s) - by_sample[0]
    known = np.where(np.isfinite(phase), phase, 0.0)
    return recite_all(by_sample[1] * np.exp(1j * known), np.broadcast_to(np.asarray(sd, float), len(known))[:, None])


def draw_recording(seconds=60.0, *, sfreq=SFREQ, alpha_uv=15.0):
    """Return four channels of simulated EEG, the filter's own among them in another order than it names them."""
    channels = ["F3", "Fz", "O1", "Pz"]
    return simulate(duration_s=seconds, sfreq=sfreq, seed=3, channels=channels, alpha_uv=alpha_uv).recording


@pytest.fixture(scope="session")
def make_recording():
    return draw_recording


@pytest.fixture(scope="session")
def oracle():
    return look_up


@pytest.fixture(scope="session")
def reciting():
    return recite_all


@pytest.fixture(scope="session")
def recording():
    """Return a minute of EEG; nobody may change it."""
    return draw_recording()


@pytest.fixture(scope="session")
def cases(recording):
    """Return the cases of that minute: 20 s of rest, 50 s of synthetic EEG."""
    return make_cases(recording, WEIGHTS, rest_s=20.0, synthetic_s=50.0, seed=7)
