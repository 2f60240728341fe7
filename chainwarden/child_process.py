"""What processes do that another one of ours started."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """From now on, end when the process that started this one has ended, however it did.

    One that was killed could tell nobody. A thread waits for that; this returns at once.
    """
    threading.Thread(target=_wait, name="parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
