"""What one endpoint says about blocks: the block, all its receipts, its call trees if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chainwarden.errors import SourceError
from ingest.answers import (
    Outcome,
    Selector,
    read_block,
    read_calls,
    read_receipts,
    read_single_receipts,
)
from ingest.endpoint import Call, Endpoint
from ingest.fault import Fault, NodeError
from ingest.omitted import fill_in
from ingest.raw import RawBlock, RpcBlock, RpcReceipt

_RECEIPTS_PER_BATCH: Final = 100


async def ask_blocks(
    endpoint: Endpoint, part: Sequence[Selector], *, traces: bool = False
) -> list[RawBlock | SourceError]:
    """Whole blocks, or for each why not. Raises EndpointError where nothing can be had."""
    calls = [_block_call(selector) for selector in part]
    hashes = [f"0x{selector.hex()}" for selector in part if isinstance(selector, bytes)]
    together = endpoint.block_receipts and len(hashes) == len(part)
    if together:  # all is known that receipts are asked for with
        calls += [Call("eth_getBlockReceipts", (hash_,)) for hash_ in hashes]
    outcomes = await endpoint.batch(calls)
    answers = [
        read_block(endpoint.name, selector, outcome)
        for selector, outcome in zip(part, outcomes, strict=False)
    ]
    receipts = outcomes[len(part) :] if together else await _receipts(endpoint, answers)
    trees = await _traces(endpoint, answers) if traces else [None] * len(answers)
    for row, answer in enumerate(answers):
        if isinstance(answer, RawBlock):
            answer.calls = [] if traces else None
            answers[row] = await _joined(endpoint, answer, receipts[row], trees[row])
    return answers


async def _joined(
    endpoint: Endpoint, raw: RawBlock, receipts: Outcome | None, traces: Outcome | None
) -> RawBlock | SourceError:
    """The block with its receipts and calls, or why one of them is not to be had."""
    block = raw.block
    if not block.transactions:
        raw.receipts = []
        return raw
    if receipts is None or _is_unknown_here(receipts):
        found = await _single_receipts(endpoint, block, receipts)
    else:
        found = read_receipts(endpoint.name, block, receipts)
    if isinstance(found, SourceError):
        return found
    raw.receipts = found
    fill_in(raw)
    if traces is not None:
        calls = read_calls(endpoint.name, block, traces)
        if isinstance(calls, SourceError):
            return calls
        raw.calls = calls
    return raw


async def _single_receipts(
    endpoint: Endpoint, block: RpcBlock, refusal: Outcome | None
) -> list[RpcReceipt] | SourceError:
    """The receipts one by one, where the node does not give them whole."""
    if isinstance(refusal, NodeError) and refusal.fault is Fault.UNSUPPORTED:
        endpoint.block_receipts = False
    calls = [Call("eth_getTransactionReceipt", (tx.hash,)) for tx in block.transactions]
    outcomes: list[Outcome] = []
    for first in range(0, len(calls), _RECEIPTS_PER_BATCH):
        outcomes += await endpoint.batch(calls[first : first + _RECEIPTS_PER_BATCH])
    return read_single_receipts(endpoint.name, block, outcomes)


def _is_unknown_here(outcome: Outcome) -> bool:
    return isinstance(outcome, NodeError) and outcome.fault in (Fault.UNSUPPORTED, Fault.REFUSED)


async def _receipts(
    endpoint: Endpoint, answers: Sequence[RawBlock | SourceError]
) -> list[Outcome | None]:
    """The receipts of the blocks that have any, by hash; None where they were not asked for."""
    if not endpoint.block_receipts:
        return [None] * len(answers)
    return await _of_blocks(endpoint, answers, "eth_getBlockReceipts")


async def _traces(
    endpoint: Endpoint, answers: Sequence[RawBlock | SourceError]
) -> list[Outcome | None]:
    tracer = {"tracer": "callTracer"}
    return await _of_blocks(endpoint, answers, "debug_traceBlockByHash", tracer)


async def _of_blocks(
    endpoint: Endpoint, answers: Sequence[RawBlock | SourceError], method: str, *params: object
) -> list[Outcome | None]:
    """A call with the hash of every block that has transactions; None for the others."""
    rows = [
        row
        for row, answer in enumerate(answers)
        if isinstance(answer, RawBlock) and answer.block.transactions
    ]
    calls = []
    for row in rows:
        answer = answers[row]
        assert isinstance(answer, RawBlock)
        calls.append(Call(method, (answer.block.hash, *params)))
    outcomes: list[Outcome | None] = [None] * len(answers)
    for row, outcome in zip(rows, await endpoint.batch(calls), strict=True):
        outcomes[row] = outcome
    return outcomes


def _block_call(selector: Selector) -> Call:
    if isinstance(selector, int):
        return Call("eth_getBlockByNumber", (hex(selector), True))
    return Call("eth_getBlockByHash", (f"0x{selector.hex()}", True))
