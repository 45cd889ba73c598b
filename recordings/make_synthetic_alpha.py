"""Make recordings/synthetic-alpha.edf, the recording that comes with closedloop.

Run it with the test requirements installed: python recordings/make_synthetic_alpha.py [FILE]
The same bytes come out each time; their SHA-256 stands in recordings/index.yaml.
"""

import datetime
import sys
from pathlib import Path

import edfio
import numpy as np

from closedloop.sources.synthetic import simulate

RANGE_UV = 1000.0


def main() -> None:
    """Write the file."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("synthetic-alpha.edf")
    simulated = simulate(
        duration_s=150.0,
        sfreq=250.0,
        seed=20,
        channels=["Fp1", "F7", "F3", "Fz", "C3", "O1"],
        alpha_hz=10.2,
        alpha_bandwidth_hz=0.8,
        alpha_uv=14.0,
        alpha_drift_hz=0.15,
        alpha_waxing=0.6,
        background_uv=9.0,
        background_exponent=1.2,
        blinks_per_min=1.5,
    )
    recording = simulated.recording
    samples = np.clip(recording.samples, -RANGE_UV, RANGE_UV)
    signals = [
        edfio.EdfSignal(
            samples[:, place],
            sampling_frequency=recording.sfreq,
            label=f"EEG {name}",
            physical_dimension="uV",
            physical_range=(-RANGE_UV, RANGE_UV),
        )
        for place, name in enumerate(recording.names)
    ]
    edf = edfio.Edf(
        signals,
        recording=edfio.Recording(startdate=datetime.date(2026, 1, 1), equipment_code="simulated"),
        patient=edfio.Patient(code="simulated"),
        starttime=datetime.time(12, 0),
    )
    edf.write(path)


if __name__ == "__main__":
    main()
