"""Every decoder of what nodes send, against bytes that nobody should send."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import SourceError
from chainwarden.schema import ETHEREUM
from ingest.answers import (
    read_block,
    read_calls,
    read_position,
    read_receipts,
    read_single_receipts,
)
from ingest.decode import decode_blocks
from ingest.endpoint import Endpoint, _retry_after
from ingest.omitted import fill_in
from ingest.raw import RawBlock, RpcBlock, RpcReceipt
from ingest.verify import Verifier
from tests.ingest.made_blocks import made_block
from tests.rigs.nonsense import BODIES

WHOLE = made_block()
BLOCK = msgspec.json.encode(WHOLE.block)
RECEIPTS = msgspec.json.encode(WHOLE.receipts)
HASH = bytes.fromhex(WHOLE.block.hash[2:])
TRACES = msgspec.json.encode(
    [
        {
            "txHash": tx.hash,
            "result": {"type": "CALL", "from": tx.from_, "to": tx.to, "value": "0x1", "calls": []},
        }
        for tx in WHOLE.block.transactions
    ]
)
REPLIES = (
    b'[{"jsonrpc":"2.0","id":1,"result":{"a":[1]}},{"id":"2","error":{"code":-32000,"data":"0x1"}}]'
)
ENDPOINT = Endpoint("http://node.example")


def block(body: bytes) -> None:
    """A block, through everything that it goes through."""
    found = read_block("x", HASH, msgspec.Raw(body))
    if isinstance(found, RawBlock):
        found.receipts = msgspec.json.decode(RECEIPTS, type=list[RpcReceipt])
        through(found)


def receipts(body: bytes) -> None:
    """The receipts of a block, the same."""
    found = read_receipts("x", WHOLE.block, msgspec.Raw(body))
    if isinstance(found, list):
        through(RawBlock(msgspec.json.decode(BLOCK, type=RpcBlock), found))


def through(raw: RawBlock) -> None:
    """Filled in, verified, decoded: or refused."""
    fill_in(raw)
    with suppress(SourceError):
        decode_blocks(ETHEREUM, [raw], [Verifier(1).verify(raw)])


def single_receipts(body: bytes) -> None:
    """A receipt, once for every transaction."""
    read_single_receipts("x", WHOLE.block, [msgspec.Raw(body)] * len(WHOLE.block.transactions))


def calls(body: bytes) -> None:
    """Call trees."""
    read_calls("x", WHOLE.block, msgspec.Raw(body))


def position(body: bytes) -> None:
    """A head."""
    with suppress(SourceError):
        read_position("x", msgspec.Raw(body))


def replies(body: bytes) -> None:
    """A body, and what its errors mean."""
    with suppress(SourceError):
        for reply in ENDPOINT._replies(body):
            ENDPOINT._outcome(reply)


def retry_after(body: bytes) -> None:
    """A header."""
    seconds = _retry_after(body)
    assert seconds is None or 0 <= seconds <= 3600


RECEIPT = msgspec.json.encode(next(iter(WHOLE.receipts or ())))
DATE = b"Fri, 31 Dec 1999 23:59:59 GMT"

DECODERS: dict[str, tuple[Callable[[bytes], None], bytes, int]] = {
    "a block": (block, BLOCK, 8_000),
    "receipts": (receipts, RECEIPTS, 8_000),
    "a receipt": (single_receipts, RECEIPT, 60_000),
    "call trees": (calls, TRACES, 60_000),
    "a head": (position, BLOCK, 60_000),
    "replies": (replies, REPLIES, 150_000),
    "Retry-After": (retry_after, DATE, 60_000),
}
"""What reads bytes of a node, a specimen of them, and how often it is tried."""

TOKENS = (
    *(b'""', b"null", b"true", b"-1", b"1e999", b"NaN", b"[]", b"{}", b"[[[[", b"\xff", b"\x00"),
    *(b'"0x"', b'"0x-1"', b'"0xg"', b'"\\ud800"', b"9" * 400, b'"0x' + b"f" * 70 + b'"', b","),
)


def spoiled(specimen: bytes, rng: random.Random) -> bytes:
    """The specimen after one to three accidents."""
    body = bytearray(specimen)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(5):
            case 0:
                body[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del body[at : at + rng.randrange(1, 60)]
            case 2:
                body[at:at] = rng.choice(TOKENS)
            case 3:  # in place of a value, so that it is still JSON
                colon = body.find(b":", at)
                end = body.find(b",", colon)
                if 0 < colon < end:
                    body[colon + 1 : end] = rng.choice(TOKENS)
            case _:
                other = rng.randrange(len(body) + 1)
                body[at:at] = body[other : other + rng.randrange(200)]
    return bytes(body)


@pytest.mark.parametrize("name", DECODERS)
def test_no_spoiled_bytes_escape(name: str) -> None:
    """Bytes with accidents in them are read or refused; nothing else is ever raised."""
    decode, specimen, count = DECODERS[name]
    rng = random.Random(name)
    decode(specimen)
    for body in BODIES:
        decode(body)
    for _ in range(count):
        decode(spoiled(specimen, rng))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(DECODERS)),
    st.binary(max_size=200) | st.text(max_size=60).map(str.encode),
)
def test_no_bytes_escape(name: str, body: bytes) -> None:
    """Nor do any bytes at all."""
    DECODERS[name][0](body)
