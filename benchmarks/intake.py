"""From JSON-RPC objects to verified Arrow tables, and without the verification.

The baseline is ``web3.eth.get_block`` and ``get_block_receipts`` over a provider that has the
answers in memory: what web3.py's formatters cost on the client's side. They verify nothing.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from web3 import BaseProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from benchmarks.table import Result
from chainwarden.schema import ETHEREUM
from ingest.decode import decode_blocks
from ingest.jsonl import parse_block
from ingest.raw import RawBlock, RpcReceipt
from ingest.simulate import Simulation, SimulationConfig
from ingest.verify import Verifier

BLOCKS: Final = 20
TRANSACTIONS_PER_BLOCK: Final = 200.0
REPEATS: Final = 5


def run() -> list[Result]:
    """Transactions a second on one core, JSON text with receipts in hand."""
    config = SimulationConfig(
        blocks=BLOCKS, transactions_per_block=TRANSACTIONS_PER_BLOCK, campaigns=()
    )
    encode = msgspec.json.encode
    texts = [(encode(r.block), encode(r.receipts)) for r in Simulation(config).blocks()]
    transactions = sum(len(json.loads(block)["transactions"]) for block, _ in texts)
    receipts_decoder = msgspec.json.Decoder(list[RpcReceipt])

    def read() -> list[RawBlock]:
        raws = []
        for block_text, receipts_text in texts:
            block, unknown = parse_block(block_text)
            receipts = receipts_decoder.decode(receipts_text)
            raws.append(RawBlock(block, receipts, None, "benchmark", unknown))
        return raws

    def unverified() -> None:
        for raw in read():
            decode_blocks(ETHEREUM, [raw], [True])

    def verified() -> None:
        verifier = Verifier()
        for raw in read():
            decode_blocks(ETHEREUM, [raw], [verifier.verify(raw)])

    web3 = Web3(_Recorded(texts))

    def formatted() -> None:
        for number in range(len(texts)):
            block = web3.eth.get_block(number, full_transactions=True)
            assert len(web3.eth.get_block_receipts(number)) == len(block["transactions"])

    web3_rate = transactions / _median_seconds(formatted)
    return [
        Result(
            benchmark="intake",
            what=what,
            unit="transactions/s",
            value=transactions / _median_seconds(work),
            baseline="web3.py's formatters, nothing verified",
            baseline_value=web3_rate,
        )
        for what, work in (
            ("JSON with receipts to verified Arrow", verified),
            ("the same without verification", unverified),
        )
    ]


class _Recorded(BaseProvider):
    """Answers with the n-th block and its receipts, from their JSON text."""

    def __init__(self, texts: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._texts = texts

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The recorded answer; the text is decoded each time, as from a node."""
        which = 1 if method == "eth_getBlockReceipts" else 0
        result = json.loads(self._texts[int(params[0], 16)][which])
        return {"jsonrpc": "2.0", "id": 1, "result": result}


def _median_seconds(work: Callable[[], None]) -> float:
    work()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
