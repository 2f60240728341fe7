"""RpcSource against a node that fails: hangs, trickles, refuses, answers in part."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from chainwarden.errors import BadBlock, EndpointError, NotYet
from chainwarden.schema import Chain, Position
from ingest.endpoint import EndpointConfig, _retry_after
from ingest.fault import Fault, NodeError
from ingest.pool import PoolConfig, Stopped
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from tests.ingest.rpc.asked import LASTING, QUICK, all_of, always, hash_at, is_whole
from tests.rigs.liar import Answer, Json, Liar, Recording


def test_an_honest_node_is_believed(liar: Liar, recording: Recording, sources: Any) -> None:
    """The recording arrives whole, in order, verified, in far fewer requests than blocks."""
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert len(liar.posts) < len(recording.numbers)
    assert source.chain == Chain("ethereum", 1)
    assert source.head() == Position(recording.numbers[-1], hash_at(recording, -1))


def test_null_is_asked_again(liar: Liar, recording: Recording, sources: Any) -> None:
    """A node that answers null half of the time, as one under load does, loses nothing."""
    chance = random.Random(7)
    liar.tamper = lambda _m, _p, result: None if chance.random() < 0.5 else result
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.not_yet > 0
    assert source.stats.rejected == {}


def test_what_nobody_has_is_raised_after_what_they_have(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A range beyond the head yields every block up to it, then NotYet."""
    got: list[RawBlock | BadBlock] = []
    numbers = recording.numbers
    soon = replace(LASTING, pool=replace(LASTING.pool, patience_seconds=0.3))
    with pytest.raises(NotYet):
        got.extend(sources(liar, config=soon).range(numbers[0], numbers[-1] + 9))
    assert is_whole(got, recording)


def test_retry_after_is_obeyed(liar: Liar, recording: Recording, sources: Any) -> None:
    """While a node wants to be left alone it is, and is asked again afterwards."""
    source = sources(liar)
    source.connect()
    refused = threading.Event()

    def once(_: Json) -> Answer | None:
        if refused.is_set():
            return None
        refused.set()
        return Answer(b"", 429, {"Retry-After": "1"})

    liar.intercept = once
    before = len(liar.posts)
    assert source.block_by_number(recording.numbers[0])
    first, second = liar.posts[before : before + 2]
    assert second - first >= 1.0
    assert source.stats.rate_limited == 1


def test_another_node_is_asked_meanwhile(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """A node that wants to be left alone for ten years is; the next one does the work."""
    liar.intercept = always(Answer(b"", 429, {"Retry-After": "315360000"}))
    source = sources(liar, honest)
    assert is_whole(all_of(source, recording), recording)
    assert len(liar.posts) <= QUICK.in_flight
    assert source.stats.failovers > 0


def test_waiting_for_too_long_is_refused(liar: Liar, sources: Any) -> None:
    """A pause longer than the deadline is not slept through: the error says so at once."""
    source = sources(liar)
    source.connect()
    liar.intercept = always(Answer(b"", 503, {"Retry-After": "3000"}))
    began = time.monotonic()
    with pytest.raises(EndpointError) as failed:
        source.head()
    assert time.monotonic() - began < 1
    assert failed.value.retry_after_seconds == 3000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7),
        (b"-3", 0),
        (b"1e99", 3600),
        (b"nan", None),
        (b"soon", None),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        (b"Sat, 01 Jan 2000 00:00:00 GMT", 0),
        (None, None),
    ],
)
def test_retry_after_is_read_and_capped(value: bytes | None, seconds: float | None) -> None:
    """Numbers and dates, at most an hour, never negative, nonsense ignored."""
    assert _retry_after(value) == seconds


def test_a_node_that_hangs_is_passed_over(
    liar: Liar, honest: Liar, recording: Recording, sources: Any
) -> None:
    """The next node answers after one timeout, and the hanging one is left alone for a while."""
    liar.intercept = liar.hang
    source = sources(liar, honest)
    began = time.monotonic()
    assert is_whole(all_of(source, recording), recording)
    assert time.monotonic() - began < 4


def test_one_that_trickles_is_cut_off(recording: Recording, liar: Liar) -> None:
    """The deadline is of the whole answer: a byte now and then does not extend it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
                    for _ in range(1200):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with RpcSource([url, liar.url], config=LASTING) as source:
            began = time.monotonic()
            assert source.head().number == recording.numbers[-1]
            assert time.monotonic() - began < 30, "half of what it would have taken"
        thread.join()


def test_stop_ends_a_wait_at_once(liar: Liar, sources: Any) -> None:
    """Whatever is in flight, setting the event ends a call and a range within a second."""
    patient = replace(QUICK, pool=PoolConfig())
    source = sources(liar, config=patient)
    liar.intercept = liar.hang
    stop = threading.Event()
    source.stop_on(stop)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        source.head()
    assert list(source.range(0, 10)) == []
    source.close()
    assert time.monotonic() - began < 1


def test_a_truncated_answer_is_asked_again(liar: Liar, recording: Recording, sources: Any) -> None:
    """A connection that breaks in the middle, or a body that is cut clean: no block is lost."""
    faults = iter([20, None, -300, 5000, None, -1])

    def cut(requests: Json) -> Answer | None:
        size = next(faults, None)
        if size is None:
            return None
        body = json.dumps([liar.reply(request) for request in requests]).encode()
        return Answer(body, cut=size) if size > 0 else Answer(body[:size])

    source = sources(liar, config=replace(LASTING, in_flight=1))
    source.connect()
    liar.intercept = cut
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == 4


def test_replies_are_matched_by_id(liar: Liar, recording: Recording, sources: Any) -> None:
    """Out of order, with ids as text, or twice: each block gets its own receipts."""
    liar.shuffle = True

    def confuse(requests: Json) -> Answer | None:
        if not isinstance(requests, list):
            return None
        replies = [{**liar.reply(r), "id": str(r["id"])} for r in requests]
        stranger = {"jsonrpc": "2.0", "id": 10**6, "result": None}
        return Answer(json.dumps([stranger, *reversed(replies), replies[0]]).encode())

    assert is_whole(all_of(sources(liar), recording), recording)
    liar.intercept = confuse
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == source.stats.not_yet == 0


def test_missing_replies_are_asked_for_singly(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A batch answer that leaves some out costs one more request for each, and nothing else."""

    def forget(requests: Json) -> Answer | None:
        if not isinstance(requests, list) or len(requests) < 3:
            return None
        return Answer(json.dumps([liar.reply(r) for r in requests[::2]]).encode())

    liar.intercept = forget
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert source.stats.retries == 0


def test_a_node_without_batches_is_asked_singly(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """An error object in place of the array is remembered: no batch is sent after it."""
    batches = []

    def refuse(requests: Json) -> Answer | None:
        if not isinstance(requests, list):
            return None
        batches.append(len(requests))
        error = {"code": -32600, "message": "batch requests are disabled"}
        return Answer(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())

    liar.intercept = refuse
    source = sources(liar, config=replace(QUICK, in_flight=1))
    assert is_whole(all_of(source, recording), recording)
    assert len(batches) == 1


def test_a_batch_that_is_too_large_is_halved(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """A node that takes five calls at a time is given no more than it takes."""
    sizes = []

    def limit(requests: Json) -> Answer | None:
        count = len(requests) if isinstance(requests, list) else 1
        sizes.append(count)
        if count <= 5:
            return None
        error = {"code": -32000, "message": "batch too large"}
        return Answer(json.dumps([{"jsonrpc": "2.0", "id": None, "error": error}]).encode())

    liar.intercept = limit
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    assert sizes.count(4) > 5


def test_an_answer_over_the_cap_is_cut_off(liar: Liar, recording: Recording, sources: Any) -> None:
    """Batches shrink until answers fit; a single block that never fits is an error."""
    one = len(json.dumps(recording.by_hash[recording.by_number[recording.numbers[0]]]))
    small = replace(QUICK.pool, endpoint=EndpointConfig(0.5, max_response_bytes=3 * one))
    source = sources(liar, config=replace(QUICK, pool=small))
    assert is_whole(all_of(source, recording), recording)
    tiny = replace(QUICK.pool, endpoint=EndpointConfig(0.5, max_response_bytes=one // 2))
    with pytest.raises(NodeError) as refused:
        sources(liar, config=replace(QUICK, pool=tiny)).block_by_number(recording.numbers[0])
    assert refused.value.fault is Fault.TOO_LARGE


def test_compressed_answers_are_read_and_capped(
    liar: Liar, recording: Recording, sources: Any
) -> None:
    """gzip is understood; a bomb is cut off at the cap, and what is no gzip is damaged."""

    def squeeze(requests: Json) -> Answer:
        replies = [liar.reply(r) for r in (requests if isinstance(requests, list) else [requests])]
        body = json.dumps(replies if isinstance(requests, list) else replies[0]).encode()
        return Answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})

    liar.intercept = squeeze
    source = sources(liar)
    assert is_whole(all_of(source, recording), recording)
    source = sources(liar, config=QUICK)
    source.connect()
    bomb = gzip.compress(b" " * (80 << 20), 9)
    liar.intercept = always(Answer(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(NodeError) as refused:
        source.head()
    assert refused.value.fault is Fault.TOO_LARGE
    for body, encoding in ((b"{}", "gzip"), (bomb[:-9], "gzip"), (b"{}", "br")):
        liar.intercept = always(Answer(body, headers={"Content-Encoding": encoding}))
        with pytest.raises(EndpointError):
            source.head()


def test_a_redirect_is_not_followed(liar: Liar, honest: Liar, sources: Any) -> None:
    """A node that sends us elsewhere is a node that failed."""
    source = sources(liar, config=QUICK)
    source.connect()
    liar.intercept = always(Answer(b"", 307, {"Location": honest.url}))
    with pytest.raises(EndpointError, match="status 307"):
        source.head()
    assert honest.posts == []
