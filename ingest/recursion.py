"""Importing web3 without what it does to the interpreter.

py_ecc, below web3, raises Python's recursion limit to 100,000 when it is imported. msgspec and json
rely on that limit to stop at JSON that is nested too deeply: without it a file or an answer of
100,000 brackets overflows the C stack and kills the process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_recursion_limit() -> Iterator[None]:
    """Whatever is imported inside, the recursion limit is the same afterwards.

    >>> import sys
    >>> before = sys.getrecursionlimit()
    >>> with kept_recursion_limit():
    ...     sys.setrecursionlimit(before + 1)
    >>> sys.getrecursionlimit() == before
    True
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
