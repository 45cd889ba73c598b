"""The phase of a recording: learn on its first minute, predict 20 ms ahead in the rest, compare with the truth.

Run it with ``python examples/phase_of_a_recording.py``. The EEG is simulated, so that the true phase is known; for a
recording of your own, read it with MNE: ``raw = mne.io.read_raw("yours.edf", preload=True)``.
"""

import mne
import numpy as np

import closedloop
from closedloop.signal.circular import circular_sd, wrap
from closedloop.sources.synthetic import simulate

REST_S = 60.0
LEAD_S = 0.02
SFREQ = 250.0

made = simulate(duration_s=180.0, sfreq=SFREQ, seed=1, channels=["F3", "O1", "Pz"], alpha_uv=12.0)
info = mne.create_info(list(made.recording.names), SFREQ, "eeg")
raw = mne.io.RawArray(made.recording.samples.T / 1e6, info, verbose="error")

predictor = closedloop.design(raw.copy().crop(0.0, REST_S), "O1")
print(f"Rest: {predictor.verdict}.")

# In an experiment the samples come in chunks: hand over each as it comes, the phases are the same.
phase, amplitude, sd = predictor.transform(raw.copy().crop(REST_S, None), lead_s=LEAD_S)

ahead = round(LEAD_S * SFREQ)
truth = np.angle(made.alpha[round(REST_S * SFREQ) + ahead :])
error, sd = wrap(truth - phase[:-ahead]), sd[:-ahead]
predicted = np.isfinite(error)
for share in (1.0, 0.5, 0.1):
    surest = predicted & (sd <= np.nanquantile(sd, share))
    mean = np.mean(np.exp(1j * error[surest]))
    print(
        f"The surest {share:.0%} of samples: off by {np.degrees(np.angle(mean)):+.1f} degrees in the mean, "
        f"circular SD {np.degrees(circular_sd(abs(mean))):.0f} degrees."
    )
