"""Which software and which machine: what the promise of a bit-identical replay depends on."""

import hashlib
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llvmlite import binding
from threadpoolctl import threadpool_info

import closedloop
from closedloop.jit import source_hash

PACKAGES = ("closedloop", "mne", "numba", "llvmlite", "numpy", "scipy", "pylsl", "pydantic")


def software() -> dict[str, Any]:
    """Return versions of all that computes."""
    return {
        "python": sys.version.split()[0],
        "sources": source_hash(Path(closedloop.__file__).parent),
        **{name: version(name) for name in PACKAGES},
        "blas": ", ".join(  # sorted, since their order is that of loading
            sorted(
                f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
                for pool in threadpool_info()
                if pool["user_api"] == "blas"
            )
        ),
    }


def machine() -> dict[str, Any]:
    """Return what of this machine may change the last bits of a result."""
    features = binding.get_host_cpu_features().flatten()
    return {
        "system": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": binding.get_host_cpu_name(),
        "cpu_features": hashlib.sha256(features.encode()).hexdigest()[:16],
        "cores": os.cpu_count(),
    }


def now_utc() -> str:
    """Return the wall clock's time, for people; nothing in the loop asks it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
