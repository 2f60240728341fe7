"""The one door to numba: ``@compiled`` keeps a function's types and caches its machine code.

numba checks a cached function only against the file it is written in, so a change in a function it
calls, or in the order of the features, would leave stale machine code behind. Here the stamp of
every cached function is a digest of all the sources that are compiled and of the declarations they
read: change one, and all are compiled afresh.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

# Declarations that kernels take constants and record layouts from.
DECLARATIONS: Final = ("features.py", "scored.py")

Array = np.ndarray[Any, np.dtype[Any]]
"""An array of any shape and type; the kernels' own docstrings say which."""


@functools.cache
def sources_stamp(root: Path = Path(__file__).parent) -> str:
    """A digest of the sources below ``root`` that compiled code is made from."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        name, source = str(path.relative_to(root)), path.read_bytes()
        if name in DECLARATIONS or b"@compiled" in source or b"@inlined" in source:
            hasher.update(name.encode() + b"\0" + source + b"\0")
    return hasher.hexdigest()


_caches: Final[set[Path]] = set()  # the folders that compiled functions are cached in


def cache_is_whole() -> bool:
    """Whether ``note_whole_cache`` was called on the sources, the numba and the machine of now."""
    try:
        return _whole().read_text(encoding="ascii") == _makings()
    except (OSError, ValueError):
        return False


def note_whole_cache() -> None:
    """Keep in mind, beside the cache, that everything that may be called is in it."""
    with contextlib.suppress(OSError, ValueError):  # then it is made sure of again at each start
        _whole().write_text(_makings(), encoding="ascii")


def _whole() -> Path:
    return min(_caches) / "whole.txt"  # ValueError where nothing can be cached


def _makings() -> str:
    llvm = importlib.import_module("llvmlite.binding")  # untyped
    return f"{sources_stamp()} {numba.__version__} {llvm.get_host_cpu_name()}\n"


# numba's own switch for its reference counts is in no stub.
_njit: Any = numba.njit
_OPTIONS: Final = {"error_model": "numpy", "nogil": True, "_nrt": False}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function compiled by numba at its first call, and cached on disk.

    Without numba's reference counts, which took 70 % of the time of a pass: compiled code cannot
    allocate, so it is given all the arrays that it fills. Without the interpreter's lock, so other
    threads go on meanwhile: they must leave these arrays alone. Division follows IEEE 754 (no
    ZeroDivisionError); no fast-math, so that results are the same wherever libm is the same.
    """
    dispatcher = _njit(**_OPTIONS)(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # no folder to write to: compiled afresh in every process
        return cast("Callable[P, R]", dispatcher)
    dispatcher._cache._cache_file._source_stamp = sources_stamp()
    _caches.add(Path(dispatcher._cache.cache_path))
    return cast("Callable[P, R]", dispatcher)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """The function as a part of the compiled functions that call it.

    For what takes tuples of many arrays: passing those costs more than most functions do.
    """
    return cast("Callable[P, R]", _njit(inline="always", **_OPTIONS)(function))
