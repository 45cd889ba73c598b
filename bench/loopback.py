"""What a benchmark of the live loop imports first: its streams stay on this machine, its linear algebra on one core.

liblsl reads its settings once, when pylsl is imported, and NumPy's library its own when NumPy is.
"""

import os
from pathlib import Path

SETTINGS = Path(__file__).parents[1] / "tests" / "lsl_loopback.cfg"

os.environ.setdefault("LSLAPICFG", str(SETTINGS))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
