"""Signals held back for a while in this process, and in what is started meanwhile."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def blocked(*numbers: signal.Signals) -> Iterator[None]:
    """
    Block *numbers* in this thread while the block runs, then put back the mask that was.

    A thread or process that is started meanwhile inherits the mask and keeps it. Nothing is done on a
    system without signal masks (Windows).
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
