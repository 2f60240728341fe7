"""No block stops a detector: whatever a transaction says, and whatever is missing beside it.

Anybody may call any contract with any words for a few cents, and a block that is orphaned comes
back from the lake with its transactions alone. A rule that takes such a thing for granted stops the
process at that block, and at every start after it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence

import pytest

from benchmarks.chains import winning_chain
from chainwarden.deployment import make_detector, new_book
from chainwarden.errors import BadBlock
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch
from chainwarden.settings import Settings
from detect.detector import Detector
from ingest.decode import decode_blocks
from ingest.raw import RawBlock, RpcLog, RpcReceipt, RpcTransaction
from ingest.simulate import SimulationConfig

BLOCKS = 400
ROUNDS = 2
MOST = "0x" + "f" * 64
HEX = "0123456789abcdef"


@pytest.fixture(scope="module")
def raws() -> list[RawBlock]:
    """A chain with every campaign, without its orphans."""
    return winning_chain(SimulationConfig(blocks=BLOCKS, transactions_per_block=8.0))


@pytest.fixture(scope="module")
def batch(raws: list[RawBlock]) -> BlockBatch:
    """The same, decoded."""
    return decode_blocks(ETHEREUM, raws, [True] * len(raws))


def detector() -> Detector:
    """All rules, the risk model, the policy: as deployed."""
    return make_detector(Settings(), ETHEREUM, new_book()).detector


OTHERS = [name for name in TABLES if name not in ("blocks", "transactions")]
MISSING = (["flows"], ["logs"], OTHERS)


@pytest.mark.parametrize("missing", MISSING, ids=("flows", "logs", "all"))
def test_rows_that_are_missing_stop_nothing(batch: BlockBatch, missing: list[str]) -> None:
    """Without the rows of a table, or of all but blocks and transactions, blocks are scored."""
    tables = {name: table for name, table in batch.tables.items() if name not in missing}
    spoiled, one = BlockBatch.of(ETHEREUM, **tables), detector()
    one.process(spoiled)
    assert one.head == batch.position(len(batch) - 1)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_words_of_a_stranger_stop_nothing(raws: list[RawBlock], seed: int) -> None:
    """Amounts, words, logs, receivers and outcomes put wrong at random: every block is scored.

    Block by block, and each third one is orphaned and comes back with its transactions alone.
    """
    rng, one, scored = random.Random(seed), detector(), 0
    inputs = [tx.input for raw in raws for tx in raw.block.transactions]
    logs = [log for raw in raws for receipt in raw.receipts or () for log in receipt.logs]
    for raw in raws:
        try:
            block = decode_blocks(ETHEREUM, [spoil(raw, rng, inputs, logs)], [False])
        except BadBlock:
            continue
        if rng.random() < 1 / 3:
            bare = BlockBatch.of(ETHEREUM, blocks=block.blocks, transactions=block.transactions)
            one.process(bare)
            one.revert(bare.position(0))
        one.process(block)
        scored += 1
    assert scored > 0.9 * BLOCKS


def spoil(
    raw: RawBlock, rng: random.Random, inputs: Sequence[str], logs: Sequence[RpcLog]
) -> RawBlock:
    """A copy of a block in which about half of the transactions say something else."""
    spoiled = copy.deepcopy(raw)
    for tx, receipt in zip(spoiled.block.transactions, spoiled.receipts or (), strict=True):
        if rng.random() < 0.5:
            spoil_transaction(tx, rng, inputs)
        if rng.random() < 0.5:
            spoil_receipt(receipt, rng, logs)
    return spoiled


def spoil_transaction(tx: RpcTransaction, rng: random.Random, inputs: Sequence[str]) -> None:
    """Another amount, receiver or sender; another's words, cut off, drawn out or put wrong."""
    match rng.randrange(8):
        case 0:
            tx.value = rng.choice(["0x0", "0x1", MOST, hex(10**18)])
        case 1:
            tx.to = rng.choice([None, tx.from_, "0x" + "00" * 20, "0x" + "00" * 19 + "01"])
        case 2:
            tx.input = "0x"
        case 3:
            tx.input = rng.choice(inputs)
        case 4:
            tx.input = tx.input[: 2 + 2 * rng.randrange(len(tx.input) // 2)]
        case 5:
            tx.input = put_wrong(tx.input, rng)
        case 6:
            tx.input = tx.input[:10] + rng.choice([MOST[2:], "00" * 32, "f" * 62 + "e0"]) * 8
        case 7:
            tx.from_ = tx.to or tx.from_
    if rng.random() < 0.2:
        tx.gas_price = tx.max_fee_per_gas = rng.choice(["0x0", hex(2**64), None])


def spoil_receipt(receipt: RpcReceipt, rng: random.Random, logs: Sequence[RpcLog]) -> None:
    """Another outcome; logs that are missing, twice there, in another order, another's, wrong."""
    match rng.randrange(7):
        case 0:
            receipt.status = "0x0" if receipt.status == "0x1" else "0x1"
        case 1:
            receipt.logs = []
        case 2:
            receipt.logs = receipt.logs * 2
        case 3:
            rng.shuffle(receipt.logs)
        case 4:
            receipt.logs.append(copy.deepcopy(rng.choice(logs)))
        case 5 if receipt.logs:
            log = rng.choice(receipt.logs)
            log.data = rng.choice(["0x", MOST, log.data[:-2] or "0x", put_wrong(log.data, rng)])
        case 6 if receipt.logs:
            log = rng.choice(receipt.logs)
            words = [*log.topics, MOST, "0x" + "00" * 32]
            log.topics = log.topics[:1] + [rng.choice(words) for _ in range(rng.randrange(4))]
    if rng.random() < 0.2:
        receipt.gas_used = rng.choice(["0x0", "0x5208", hex(2**40)])


def put_wrong(text: str, rng: random.Random) -> str:
    """Hex text with one of its digits another."""
    if len(text) <= 2:
        return text
    at = rng.randrange(2, len(text))
    return text[:at] + rng.choice(HEX) + text[at + 1 :]
