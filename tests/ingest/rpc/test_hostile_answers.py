"""No secret comes out of RpcSource, and no nonsense gets into it."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock, EndpointError, SettingsError, SourceError
from chainwarden.schema import Chain
from ingest.answers import read_block, read_calls, read_position, read_receipts
from ingest.endpoint import Endpoint
from ingest.raw import RawBlock, RpcBlock, RpcCall
from ingest.rpc import RpcSource
from tests.ingest.rpc.asked import QUICK, always, small
from tests.rigs.liar import Answer, Liar, Recording

CANARIES = ("cAnArYpAtH0123", "cAnArYqUeRy0123", "cAnArYuSeR0123", "cAnArYpAsS0123")


def test_no_part_of_a_url_is_ever_shown(
    liar: Liar, recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """Through every failure no message, log line or repr holds a key, even one the node echoes."""
    path, query, user, password = CANARIES
    url = liar.url.replace("http://", f"http://{user}:{password}@") + f"/v3/{path}?key={query}"
    echo = {"code": -32000, "message": f"invalid key {path} {query} {user}:{password} at {url}"}
    reply = json.dumps({"jsonrpc": "2.0", "id": 0, "error": echo}).encode()
    failures: list[Answer | None] = [
        Answer(b"", 500),
        Answer(b"", 401),
        Answer(reply),
        Answer(reply, 403),
        Answer(b"nonsense"),
        Answer(reply, cut=10),
        Answer(b"", 429),
        Answer(b"\xff[", headers={"Content-Encoding": "gzip"}),
    ]
    said = []
    hasty = replace(QUICK, pool=replace(QUICK.pool, deadline_seconds=0.2))
    with caplog.at_level(logging.DEBUG), RpcSource([url], Chain("ethereum", 1), hasty) as source:
        assert source.head().number == recording.numbers[-1]
        for failure in failures:
            liar.intercept = always(failure)
            with pytest.raises(EndpointError) as failed:
                source.head()
            error: BaseException | None = failed.value
            while error is not None:
                said.append(f"{error!s} {error!r}")
                error = error.__cause__ or error.__context__
        liar.intercept = liar.hang
        with pytest.raises(EndpointError) as failed:
            source.head()
        said += [str(failed.value), repr(source._pool.endpoints), source._pool.endpoints[0].name]
    with pytest.raises(SettingsError) as wrong:
        Endpoint(url.replace("http", "gopher"))
    said += [str(wrong.value), caplog.text]
    assert len(said) > 10
    assert not [canary for canary in CANARIES if canary in " ".join(said)]
    sent = liar.headers[0]["authorization"]
    assert sent == "Basic Y0FuQXJZdVNlUjAxMjM6Y0FuQXJZcEFzUzAxMjM="


def test_hostile_words_are_made_harmless() -> None:
    """What a node says cannot forge a log line or flood it."""
    endpoint = Endpoint("http://node.example/abcdef")
    shown = endpoint.shown("\x1b[31mbad\r\nERROR forged\u202e" + "x" * 10_000)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) == 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_replies_or_an_error(body: bytes) -> None:
    """Whatever comes over the wire is JSON-RPC or an EndpointError, never another exception."""
    try:
        replies = Endpoint("http://node.example")._replies(body)
    except EndpointError:
        return
    assert isinstance(replies, list)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_to_an_answer_is_a_block_or_an_error(data: st.DataObject) -> None:
    """A block or receipts with any value replaced read as such or are a SourceError."""
    recording = small()
    hash_ = recording.by_number[recording.numbers[0]]
    block = json.loads(json.dumps(recording.by_hash[hash_]))
    receipts = json.loads(json.dumps(recording.receipts[hash_]))
    for thing in (block, receipts):
        spot: Any = thing
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(spot[key], dict | list) and spot[key] and data.draw(st.booleans()):
                spot = spot[key]
                continue
            spot[key] = data.draw(JSON_VALUES)
            break
    raw = msgspec.Raw(json.dumps(block).encode())
    whole = msgspec.convert(recording.by_hash[hash_], RpcBlock)
    selector = bytes.fromhex(hash_[2:])
    assert isinstance(read_block("x", selector, raw), RawBlock | SourceError)
    assert isinstance(read_block("x", recording.numbers[0], raw), RawBlock | SourceError)
    given_receipts = msgspec.Raw(json.dumps(receipts).encode())
    assert isinstance(read_receipts("x", whole, given_receipts), list | SourceError)
    assert isinstance(read_calls("x", whole, given_receipts), SourceError)
    with suppress(SourceError):
        read_position("x", raw)


def test_deep_nesting_is_malformed() -> None:
    """A JSON bomb of brackets is refused without a crash."""
    bomb = b'{"number":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert isinstance(read_block("x", 1, msgspec.Raw(bomb)), BadBlock)
    with pytest.raises(EndpointError):
        Endpoint("http://node.example")._replies(b'{"result":' + bomb + b"}")


def test_a_call_tree_marks_what_was_undone() -> None:
    """A call below one that failed is reverted though it did not fail itself."""
    frame = {
        "type": "CALL", "from": "0x01", "to": "0x02", "value": "0x1",
        "calls": [
            {"type": "CALL", "from": "0x02", "to": "0x03", "error": "execution reverted",
             "calls": [{"type": "STATICCALL", "from": "0x03", "to": "0x04"}]},
            {"type": "DELEGATECALL", "from": "0x02", "to": "0x05", "value": "0x1"},
        ],
    }  # fmt: skip
    recording = small()
    block = msgspec.convert(next(iter(recording.by_hash.values())), RpcBlock)
    traces = [{"txHash": tx.hash, "result": frame} for tx in block.transactions]
    calls = read_calls("x", block, msgspec.Raw(json.dumps(traces).encode()))
    assert isinstance(calls, list)

    def row(c: RpcCall) -> tuple[int, int, int, str, str, bool, bool]:
        return c.index, c.parent_index, c.depth, c.call_type, c.value, c.status_failed, c.reverted

    assert [row(c) for c in calls if c.transaction_hash == block.transactions[1].hash] == [
        (1, 0, 0, "CALL", "0x1", False, False),
        (2, 1, 1, "CALL", "0x0", True, True),
        (3, 2, 2, "STATICCALL", "0x0", False, True),
        (4, 1, 1, "DELEGATECALL", "0x0", False, False),
    ]
    wrong = read_calls("x", block, msgspec.Raw(json.dumps(traces[::-1]).encode()))
    assert isinstance(wrong, BadBlock)


@pytest.mark.parametrize("url", ["ws://node.example", "node.example:8545", "http://", "http://a:b"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    """The error says what to give instead."""
    with pytest.raises(SettingsError):
        Endpoint(url)
