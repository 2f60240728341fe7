"""From JSON-RPC objects to verified Arrow tables, and without the verification.

The baselines verify nothing: ``web3.eth.get_block`` and ``get_block_receipts`` over a provider that
has the answers in memory (what web3.py's formatters cost on the client's side), ethereum-etl's
items, and the JSON decoded into our structs by msgspec, which is the least that anything here can
take.

What verification cannot go below on a core is measured beside it: libsecp256k1 recovering every
sender and Keccak-256 of every transaction and receipt, and nothing else.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import coincurve
import msgspec
from web3 import BaseProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from benchmarks.ethereum_etl import NotMeasured, seconds_of
from benchmarks.table import Result
from chainwarden.schema import ETHEREUM
from ingest.codec import (
    DEPOSIT,
    encode_receipt,
    encode_transaction,
    keccak,
    transaction_parts,
    transaction_type,
)
from ingest.decode import decode_blocks
from ingest.jsonl import parse_block
from ingest.raw import RawBlock, RpcReceipt
from ingest.simulate import Simulation, SimulationConfig
from ingest.verify import Verifier
from ingest.workers import BlockWorkers, cores, verified_batch
from tests.ingest.made_blocks import worst_block

BLOCKS: Final = 20
TRANSACTIONS_PER_BLOCK: Final = 200.0
REPEATS: Final = 5

Texts = list[tuple[bytes, bytes]]
_RECEIPTS: Final = msgspec.json.Decoder(list[RpcReceipt])


def run() -> list[Result]:
    """Transactions a second of CPU time on one core, JSON text with receipts in hand."""
    config = SimulationConfig(
        blocks=BLOCKS, transactions_per_block=TRANSACTIONS_PER_BLOCK, campaigns=()
    )
    texts = [_text(raw) for raw in Simulation(config).blocks()]
    transactions = sum(len(json.loads(block)["transactions"]) for block, _ in texts)
    seconds = _medians(_works(texts))
    rate = {name: transactions / taken for name, taken in seconds.items()}

    def line(what: str, baseline: str, asked: float | None, ratio: float | None = None) -> Result:
        return Result(
            benchmark="intake",
            what=what,
            unit="transactions/s",
            value=rate[what],
            baseline=baseline,
            baseline_value=rate[baseline],
            asked=asked,
            asked_ratio=ratio,
        )

    return [
        line(_VERIFIED, _WEB3, 6_000, 15),
        line(_DECODED, _WEB3, 60_000),
        line(_DECODED, _MSGSPEC, None),
        line(_CHECKED, _WEB3, None),
        line(_RECOVERED, _WEB3, None),
        line(_HASHED, _WEB3, None),
        _against_etl(texts, transactions, rate[_VERIFIED]),
        _in_workers(texts, transactions, rate[_VERIFIED]),
        _largest_block(),
    ]


_WEB3: Final = "web3.py's formatters, nothing verified"
_MSGSPEC: Final = "msgspec alone: JSON to our structs"
_VERIFIED: Final = "JSON with receipts to verified Arrow, a core"
_DECODED: Final = "the same without verification, 20 blocks at a time"
_CHECKED: Final = "the same, verified but for the senders"
_RECOVERED: Final = "the senders alone: libsecp256k1's recovery, a core"
_HASHED: Final = "Keccak-256 of its transactions and receipts alone"


def _works(texts: Texts) -> Mapping[str, Callable[[], None]]:
    """What is measured, by its line's name or its column's."""
    raws = [_read(text) for text in texts]
    signed = _signatures(raws)
    hashed = _hashed(raws)
    web3 = Web3(_Recorded(texts))

    def verified(senders: int | None = None) -> None:
        verifier = Verifier(senders)
        for text in texts:
            raw = _read(text)
            decode_blocks(ETHEREUM, [raw], [verifier.verify(raw)])

    def decoded() -> None:
        decode_blocks(ETHEREUM, [_read(text) for text in texts], [True] * len(texts))

    def structs() -> None:
        for text in texts:
            _read(text)

    def recovered() -> None:
        for signature, digest in signed:
            coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)

    def digests() -> None:
        for data in hashed:
            keccak(data)

    def formatted() -> None:
        for number in range(len(texts)):
            block = web3.eth.get_block(number, full_transactions=True)
            assert len(web3.eth.get_block_receipts(number)) == len(block["transactions"])

    return {
        _WEB3: formatted,
        _MSGSPEC: structs,
        _VERIFIED: verified,
        _DECODED: decoded,
        _CHECKED: lambda: verified(0),
        _RECOVERED: recovered,
        _HASHED: digests,
    }


def _text(raw: RawBlock) -> tuple[bytes, bytes]:
    return msgspec.json.encode(raw.block), msgspec.json.encode(raw.receipts)


def _read(text: tuple[bytes, bytes]) -> RawBlock:
    block, unknown = parse_block(text[0])
    return RawBlock(block, _RECEIPTS.decode(text[1]), None, "benchmark", unknown)


def _signatures(raws: list[RawBlock]) -> list[tuple[bytes, bytes]]:
    """Every signature with what was signed, as libsecp256k1 takes them."""
    every = [transaction_parts(tx) for raw in raws for tx in raw.block.transactions]
    return [
        (each.r.rjust(32, b"\0") + each.s.rjust(32, b"\0") + bytes([each.parity]), digest)
        for each in every
        if each.type != DEPOSIT and (digest := each.signing_hash())
    ]


def _hashed(raws: list[RawBlock]) -> list[bytes]:
    """For each transaction: itself, what was signed, the leaf it is in; its receipt's; a key."""
    hashed = []
    for raw in raws:
        for tx, receipt in zip(raw.block.transactions, raw.receipts or (), strict=True):
            encoded = encode_transaction(tx)
            leaf = encode_receipt(receipt, transaction_type(tx.type))
            hashed += [encoded, encoded, encoded, leaf, bytes(64)]
    return hashed


def _against_etl(texts: Texts, transactions: int, rate: float) -> Result:
    baseline, theirs = "ethereum-etl's items, nothing verified", None
    try:
        theirs = transactions / seconds_of(texts, REPEATS)
    except NotMeasured as why:
        baseline = f"ethereum-etl: not measured: {why}"
    return Result(
        benchmark="intake",
        what=_VERIFIED,
        unit="transactions/s",
        value=rate,
        baseline=baseline,
        baseline_value=theirs,
    )


def _in_workers(texts: Texts, transactions: int, alone: float) -> Result:
    """Wall-clock time, with a process for every core, once these have begun."""
    with BlockWorkers(ETHEREUM) as workers:

        def work() -> None:
            for future in [workers.submit(_read(text)) for text in texts * 3]:
                future.result()

        work()  # the processes begin
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return Result(
        benchmark="intake",
        what=f"JSON with receipts to verified Arrow, workers on {cores()} cores",
        unit="transactions/s",
        value=3 * transactions / statistics.median(seconds),
        baseline=_VERIFIED,
        baseline_value=alone,
    )


def _largest_block() -> Result:
    """The block with as many logs as 60 million gas pay for."""
    raw = worst_block(103, "0x" + "01" * 32)
    text = _text(raw)
    seconds = _medians(
        {_VERIFIED: lambda: verified_batch(ETHEREUM, _read(text)), _MSGSPEC: lambda: _read(text)}
    )
    return Result(
        benchmark="intake",
        what="a block of 34,168 logs, JSON to verified Arrow",
        unit="s",
        value=seconds[_VERIFIED],
        baseline=_MSGSPEC,
        baseline_value=seconds[_MSGSPEC],
        less_is_better=True,
    )


def _medians(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU seconds of each, in turns: what slows the machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    gc.collect()
    gc.freeze()  # what is kept here for the measurement alone is not searched for garbage again
    for _ in range(REPEATS):
        for name, work in works.items():
            began = time.process_time()
            work()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


class _Recorded(BaseProvider):
    """Answers with the n-th block and its receipts, from their JSON text."""

    def __init__(self, texts: Texts) -> None:
        super().__init__()
        self._texts = texts

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The recorded answer; the text is decoded each time, as from a node."""
        which = 1 if method == "eth_getBlockReceipts" else 0
        result = json.loads(self._texts[int(params[0], 16)][which])
        return {"jsonrpc": "2.0", "id": 1, "result": result}
