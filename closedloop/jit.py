"""The one decorator for compiled code, and the cache folder that belongs to its sources.

numba's disk cache watches only the file of the function that it stores: after an edit of a callee
in another file a cached caller keeps the *old* callee. For a safety gate that must not be, so the
cache lies in a folder that is named by a hash of every source file of the package, of the versions
of numba and llvmlite, and of the compiler switches that change the code. Any edit is a new folder.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import llvmlite
import numba
import platformdirs
from numba.core.errors import NumbaExperimentalFeatureWarning

P = ParamSpec("P")
R = TypeVar("R")

# First-class function types carry the estimators into the loop; numba calls them experimental.
warnings.filterwarnings("ignore", category=NumbaExperimentalFeatureWarning)


def source_hash(package: Path) -> str:
    """Hash all that decides what a compiled function of ``package`` does.

    Parameters
    ----------
    package
        Folder whose ``*.py`` files, at any depth, are compiled together.

    Returns
    -------
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    switches = (numba.__version__, llvmlite.__version__, numba.config.BOUNDSCHECK, numba.config.OPT)
    digest.update(repr(switches).encode())
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] == "share":
            continue  # what the wheel brings along is not the package
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder that holds this source state's compiled code, made if it is absent.

    ``CLOSEDLOOP_CACHE_DIR`` moves it; where the user's cache cannot be written, a folder of this
    user's under the system's temporary folder serves, so that a read-only home slows the start but
    stops nothing.
    """
    package = Path(__file__).parent
    chosen = os.environ.get("CLOSEDLOOP_CACHE_DIR")
    roots = [Path(chosen)] if chosen else [Path(platformdirs.user_cache_dir("closedloop"))]
    roots.append(Path(tempfile.gettempdir()) / f"closedloop-{os.getuid() if hasattr(os, 'getuid') else 'user'}")
    name = source_hash(package)
    for root in roots:
        folder = root / "numba" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"no folder for compiled code can be written: tried {', '.join(map(str, roots))}")


_CACHE_FOLDER = str(cache_folder())


def compiled(signature: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function as the core needs it: cached, without the GIL, no fast-math, IEEE division.

    Parameters
    ----------
    signature
        A numba signature for eager compilation; without it the first call compiles.
    """
    return _decorator(signature)


def inner(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only compiled functions call.

    It gets no wrapper for Python. The core's state is a tuple of some fifty arrays; to unpack that for
    Python in each of its many small functions took more than half of the time of a first start.
    """
    return _decorator(None, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each of its callers.

    To hand over the core's state takes some hundred machine words: between small functions on the way of a pulse that
    is more than what they do.
    """
    return _decorator(None, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)(function)


def _decorator(signature: Any, **more: bool) -> Callable[[Callable[P, R]], Callable[P, R]]:
    options = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False, **more}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Only for the moment of decoration: other packages' compiled code stays where they keep it.
        elsewhere = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = _CACHE_FOLDER
        try:
            decorator = numba.njit(**options) if signature is None else numba.njit(signature, **options)
            result: Callable[P, R] = decorator(function)
            return result
        finally:
            numba.config.CACHE_DIR = elsewhere

    return decorate
