"""Worker processes that verify and decode blocks: for many of them, more than a core can take.

Recovering the senders is most of the cost, in native code that runs on one core; threads would wait
for each other between any two signatures.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Final

import msgspec
import pyarrow as pa

from chainwarden.child_process import end_with_parent
from chainwarden.schema import TABLES, BlockBatch, Chain
from ingest.decode import decode_blocks
from ingest.raw import RawBlock
from ingest.verify import Verifier

log = logging.getLogger(__name__)

MOST_WORKERS: Final = 8

_RAW: Final = msgspec.msgpack.Decoder(RawBlock)


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def verified_batch(chain: Chain, raw: RawBlock, *, unsigned: bool = False) -> BlockBatch:
    """One block, verified and decoded. Raises BadBlock; see ``Verifier`` for ``unsigned``."""
    return decode_blocks(chain, [raw], [Verifier(unsigned=unsigned).verify(raw)])


class BlockWorkers:
    """Verifies and decodes blocks in processes of its own. Close it, or use it as a context.

    What comes out is what ``verified_batch`` gives, or raises. Processes start with the first block
    and end with their parent, however that ends. If one of them dies, the blocks that it had and
    all that follow are worked on here, slower. Whoever submits bounds how much is under way.
    """

    def __init__(self, chain: Chain, count: int | None = None, *, unsigned: bool = False) -> None:
        self._chain = chain
        self._unsigned = unsigned
        self._pool: ProcessPoolExecutor | None = ProcessPoolExecutor(
            count or min(cores(), MOST_WORKERS),
            # Not forked: this process has threads, and what they hold would be held for ever.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
        )

    def __enter__(self) -> BlockWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what waits; the processes end by themselves, soon. Harmless when repeated."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def submit(
        self, raw: RawBlock, then: Callable[[BlockBatch], BlockBatch] = lambda batch: batch
    ) -> Future[BlockBatch]:
        """The batch of one block, some time later, or the BadBlock that it is.

        ``then`` has the last word on the batch; it runs in this process.
        """
        future: Future[BlockBatch] = Future()
        pool = self._pool
        if pool is None:
            _settle(future, lambda: then(self._here(raw)))
            return future
        try:
            work = pool.submit(_work, self._chain, self._unsigned, msgspec.msgpack.encode(raw))
        except BrokenExecutor:
            _settle(future, lambda: then(self._here(raw)))
            return future
        work.add_done_callback(lambda done: _settle(future, lambda: then(self._taken(done, raw))))
        return future

    def _taken(self, done: Future[_Answer], raw: RawBlock) -> BlockBatch:
        try:
            return _read(self._chain, done.result())
        except BrokenExecutor:
            log.warning("a worker process died: blocks are verified by this process from now on")
            return self._here(raw)

    def _here(self, raw: RawBlock) -> BlockBatch:
        return verified_batch(self._chain, raw, unsigned=self._unsigned)


def _settle(future: Future[BlockBatch], work: Callable[[], BlockBatch]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


# --- between the processes -----------------------------------------------------------------------


_Answer = list[bytes]
"""Each table as an Arrow record batch without its schema, empty where it has no rows."""


def _begin() -> None:
    """An interrupt is for the parent to handle; when that is gone, nobody needs this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _work(chain: Chain, unsigned: bool, encoded: bytes) -> _Answer:
    batch = verified_batch(chain, _RAW.decode(encoded), unsigned=unsigned)
    return [_written(table) for table in batch.tables.values()]


def _written(table: pa.Table) -> bytes:
    parts = table.to_batches()  # one at most: a batch's columns are of one chunk
    return bytes(parts[0].serialize()) if parts else b""


def _read(chain: Chain, answer: _Answer) -> BlockBatch:
    tables = {}
    for (name, schema), written in zip(TABLES.items(), answer, strict=True):
        if written:
            part = pa.ipc.read_record_batch(pa.py_buffer(written), schema)
            tables[name] = pa.Table.from_batches([part])
    return BlockBatch.of(chain, **tables)
