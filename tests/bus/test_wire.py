from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BusError
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch, BlocksAdded
from chainwarden.wire import (
    BlockRecord,
    InvalidWire,
    TransactionRecord,
    check_transaction,
    decode_block,
    decode_blocks,
    decode_transaction,
    encode_blocks,
    encode_mark,
)
from ingest.decode import decode_blocks as decode_raw
from ingest.files import open_source
from ingest.raw import RawBlock
from ingest.source import BlockSource
from tests.bus.blocks import added, batches, finalized, plain_batch, reverted


def there_and_back(batch: BlockBatch) -> BlockBatch:
    """The batch after the wire."""
    encoded = encode_blocks(BlocksAdded(batch), 7)
    blocks = [
        (
            decode_block(event.block, batch.chain.name),
            [decode_transaction(value, batch.chain.name) for _, value in event.transactions],
        )
        for event in encoded
    ]
    assert [block.transactions for block, _ in blocks] == [len(own) for _, own in blocks]
    return decode_blocks(batch.chain, blocks)


def assert_same(actual: BlockBatch, expected: BlockBatch) -> None:
    """Both hold the same rows of the same types."""
    for name in TABLES:
        one, other = actual.tables[name], expected.tables[name]
        assert one.schema == other.schema
        assert one.to_pylist() == other.to_pylist(), name


@settings(deadline=None, max_examples=60)
@given(batch=batches())
def test_any_batch_comes_back_exactly(batch: BlockBatch) -> None:
    """Every column of every table survives the wire, nulls and extreme amounts included."""
    assert_same(there_and_back(batch), batch)


@settings(deadline=None, max_examples=25)
@given(batch=batches(max_blocks=4), data=st.data())
def test_slices_encode_as_the_whole_does(batch: BlockBatch, data: st.DataObject) -> None:
    """A block's records do not depend on the batch it came in: slices share buffers."""
    start = data.draw(st.integers(0, len(batch) - 1))
    whole = encode_blocks(BlocksAdded(batch), 0)[start:]
    sliced = encode_blocks(BlocksAdded(batch.slice(start, len(batch))), start)
    assert sliced == whole


@settings(deadline=None, max_examples=300)
@given(value=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_invalid(value: bytes) -> None:
    """Reading never raises anything but InvalidWire."""
    for decode in (decode_transaction, decode_block):
        with pytest.raises(InvalidWire):
            decode(value, "ethereum")


FIELDS = list(TransactionRecord.__struct_fields__)
JUNK: list[Any] = [
    None,
    -1,
    2**70,
    1.5,
    True,
    "",
    "0x",
    "0xzz",
    "0x" + "é" * 20,
    "-5",
    "9" * 90,
    [],
    {},
    [{}],
]


@settings(deadline=None, max_examples=400)
@given(field=st.sampled_from(FIELDS), junk=st.sampled_from(JUNK))
def test_a_field_of_another_kind_is_refused_or_read(field: str, junk: Any) -> None:
    """Whatever stands in a field, the record is read or refused, never a crash."""
    event = encode_blocks(added(5), 0)[0]
    record = msgspec.json.decode(event.transactions[0][1])
    record[field] = junk
    try:
        check_transaction(decode_transaction(msgspec.json.encode(record), "ethereum"))
    except InvalidWire:
        return
    assert junk in (None, True, -1, "0x", []) or field in ("block_number", "value_f64", "sequence")


def changed(value: bytes, /, **fields: Any) -> bytes:
    """The JSON record with other fields."""
    return msgspec.json.encode(msgspec.json.decode(value) | fields)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"version": 2}, "version 2"),
        ({"chain": "gnosis"}, "another chain"),
        ({"from_address": "0xcafe"}, "20 bytes"),
        ({"from_address": "1x" + "00" * 20}, "0x"),
        ({"value": str(2**256)}, "256 bits"),
        ({"value": "-1"}, "negative"),
        ({"gas_price": str(2**64)}, "."),
        ({"nonce": -1}, "."),
        ({"status": 300}, "."),
        ({"input": "0xabc"}, "."),
        ({"transaction_index": 2**31}, "."),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], word: str) -> None:
    """A record of another version, chain, length or range is refused with the reason."""
    value = encode_blocks(added(5), 0)[0].transactions[0][1]
    check_transaction(decode_transaction(value, "ethereum"))
    with pytest.raises(InvalidWire, match=word):
        check_transaction(decode_transaction(changed(value, **fields), "ethereum"))


def test_two_wrong_lengths_do_not_make_up_for_one_another() -> None:
    """A long and a short address in one column are refused though their sum fits."""
    values = [value for _, value in encode_blocks(added(5), 0)[0].transactions]
    one, two, three = (decode_transaction(value, "ethereum") for value in values)
    one.from_address += "00"
    two.from_address = two.from_address[:-2]
    block = decode_block(encode_blocks(added(5), 0)[0].block, "ethereum")
    with pytest.raises(InvalidWire, match="0x"):
        decode_blocks(ETHEREUM, [(block, [one, two, three])])


def test_a_newer_field_is_skipped() -> None:
    """Within a version fields may be added: readers pass over those they do not know."""
    event = encode_blocks(added(5), 0)[0]
    value = changed(event.transactions[0][1], colour="blue")
    assert decode_transaction(value, "ethereum") == decode_transaction(
        event.transactions[0][1], "ethereum"
    )


def test_the_record_reads_as_documented() -> None:
    """The JSON of a transaction has named fields, hex text and exact decimal amounts."""
    event = encode_blocks(added(5, transactions=1), 9)[0]
    key, value = event.transactions[0]
    record = msgspec.json.decode(value)
    assert key.decode() == record["from_address"] == "0x" + "00" * 19 + "23"
    assert record["version"] == 1
    assert record["chain"] == "ethereum"
    assert record["sequence"] == 9
    assert record["value"] == "5000"
    assert record["input"] == "0xcafe"
    assert record["flows"] == [
        {
            "ordinal": 0,
            "kind": 0,
            "from_address": record["from_address"],
            "to_address": "0x" + "00" * 19 + "01",
            "value": "5000",
        }
    ]
    block = msgspec.json.decode(event.block)
    assert (block["event"], block["transactions"]) == ("added", 1)


def test_marks_say_what_happened() -> None:
    """A revert and a finality mark are one block record each."""
    for event, kind in ((reverted(4), "reverted"), (finalized(4), "finalized")):
        encoded = encode_mark(event, ETHEREUM, 3)
        record = decode_block(encoded.block, "ethereum")
        assert (record.event, record.position(), record.sequence) == (kind, event.position, 3)
        assert not encoded.transactions


def test_a_row_without_its_transaction_is_not_lost_silently() -> None:
    """A flow whose transaction is not in the batch cannot be published."""
    batch = plain_batch([5])
    orphan = BlockBatch.of(
        ETHEREUM, blocks=batch.blocks, transactions=batch.transactions.slice(1), flows=batch.flows
    )
    with pytest.raises(BusError, match="no transaction"):
        encode_blocks(BlocksAdded(orphan), 0)


def test_a_row_that_disagrees_with_its_transaction_is_not_published() -> None:
    """What is written once must be the same everywhere."""
    batch = plain_batch([5])
    place = batch.flows.schema.get_field_index("transaction_hash")
    hashes = pa.array([bytes(32)] * 3, batch.flows.schema.field(place).type)
    flows = batch.flows.set_column(place, batch.flows.schema.field(place), hashes)
    wrong = BlockBatch.of(
        ETHEREUM, blocks=batch.blocks, transactions=batch.transactions, flows=flows
    )
    with pytest.raises(BusError, match="disagrees"):
        encode_blocks(BlocksAdded(wrong), 0)


def test_records_name_every_column() -> None:
    """No column of the schema can be forgotten on the wire."""
    for name, struct in (("blocks", BlockRecord), ("transactions", TransactionRecord)):
        assert set(TABLES[name].names) <= set(struct.__struct_fields__)


@pytest.mark.data
def test_real_blocks_come_back_exactly(shared_data: Path) -> None:
    """Every real block, of every fork and transaction type, survives the wire in every column."""
    flows = 0
    for name in ("run", "forks"):
        source = open_source(shared_data / "blocks" / f"{name}.blocks.jsonl.gz", ETHEREUM)
        assert isinstance(source, BlockSource)
        for raw in source.blocks():
            assert isinstance(raw, RawBlock)
            batch = decode_raw(ETHEREUM, [raw], [True])
            flows += len(batch.flows)
            back = there_and_back(batch)
            for table in TABLES:
                assert back.tables[table].equals(batch.tables[table]), f"{raw.where} {table}"
    assert flows > 30_000
