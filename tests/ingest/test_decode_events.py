"""Each event is decoded for what it is, and no other log talks its way in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.raw import RpcLog
from tests.ingest import slow_decode
from tests.ingest.made_logs import (
    APPROVAL,
    BATCH,
    FOR_ALL,
    PERMIT2,
    PERMIT2_APPROVAL,
    PERMIT2_PERMIT,
    SINGLE,
    SYSTEM,
    TOKEN,
    TRANSFER,
    A,
    B,
    C,
    decode_one,
    joined,
    token_flows,
    with_logs,
    word,
)


def test_an_erc20_transfer_is_a_flow() -> None:
    """Three topics and one word: who, to whom and how much of which token."""
    batch = decode_one(with_logs(RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(5))))
    (flow,) = token_flows(batch)
    assert (flow["kind"], flow["ordinal"], flow["batch_index"]) == (1, 1, 0)
    assert flow["token_address"] == bytes.fromhex(TOKEN[2:])
    assert flow["from_address"] == bytes.fromhex(A[2:])
    assert flow["to_address"] == bytes.fromhex(B[2:])
    assert (flow["token_id"], flow["value_f64"]) == (None, 5.0)
    assert batch.logs.num_rows == 0


def test_an_erc721_transfer_is_a_flow_of_one() -> None:
    """Four topics and no data: the fourth is the token id."""
    batch = decode_one(with_logs(RpcLog(TOKEN, [TRANSFER, word(A), word(B), word(77)], "0x")))
    (flow,) = token_flows(batch)
    assert (flow["kind"], int.from_bytes(flow["token_id"], "big"), flow["value_f64"]) == (2, 77, 1)


def test_an_erc1155_transfer_takes_its_parties_behind_the_operator() -> None:
    """TransferSingle: topic 1 is the operator, not the sender; data is id, then value."""
    log = RpcLog(TOKEN, [SINGLE, word(C), word(A), word(B)], joined(9, 3))
    (flow,) = token_flows(decode_one(with_logs(log)))
    assert (flow["kind"], flow["from_address"], flow["to_address"]) == (
        3,
        bytes.fromhex(A[2:]),
        bytes.fromhex(B[2:]),
    )
    assert (int.from_bytes(flow["token_id"], "big"), flow["value_f64"]) == (9, 3)


def test_an_erc1155_batch_is_a_flow_per_item() -> None:
    """TransferBatch: items share the ordinal and count their batch_index."""
    log = RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 160, 2, 11, 12, 2, 101, 102))
    flows = token_flows(decode_one(with_logs(RpcLog(TOKEN, [], "0x"), log)))
    assert [(f["ordinal"], f["batch_index"]) for f in flows] == [(2, 0), (2, 1)]
    assert [int.from_bytes(f["token_id"], "big") for f in flows] == [11, 12]
    assert [f["value_f64"] for f in flows] == [101, 102]


@pytest.mark.parametrize(
    ("log", "kind", "value", "approved"),
    [
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B)], word(2**256 - 1)), 0, 2**256 - 1, True),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B)], word(0)), 0, 0, False),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(0)], word(1)), 0, 1, False),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(B), word(7)], "0x"), 1, None, True),
        (RpcLog(TOKEN, [APPROVAL, word(A), word(0), word(7)], "0x"), 1, None, False),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(1)), 2, None, True),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(0)), 2, None, False),
        (RpcLog(TOKEN, [FOR_ALL, word(A), word(0)], word(1)), 2, None, False),
    ],
)
def test_approvals_say_what_was_granted_or_revoked(
    log: RpcLog, kind: int, value: int | None, approved: bool
) -> None:
    """ERC-20, ERC-721 and for all: a spender of 0, a value of 0 or a false is a revocation."""
    (row,) = decode_one(with_logs(log)).approvals.to_pylist()
    exact = None if row["value"] is None else int.from_bytes(row["value"], "big")
    assert (row["kind"], exact, row["approved"]) == (kind, value, approved)
    assert row["owner"] == bytes.fromhex(A[2:])
    assert row["token_address"] == bytes.fromhex(TOKEN[2:])
    assert (row["token_id"] is not None) == (kind == 1)


@pytest.mark.parametrize(
    ("event", "rest", "kind"), [(PERMIT2_APPROVAL, [9], 3), (PERMIT2_PERMIT, [9, 0], 4)]
)
def test_permit2_names_the_token_and_counts_only_from_permit2(
    event: str, rest: list[int], kind: int
) -> None:
    """The token is topic 2; the same log from another emitter proves nothing and stays a log."""
    topics = [event, word(A), word(TOKEN), word(B)]
    log = RpcLog(PERMIT2, topics, joined(2**160 - 1, *rest))
    (row,) = decode_one(with_logs(log)).approvals.to_pylist()
    assert (row["kind"], row["approved"]) == (kind, True)
    assert row["token_address"] == bytes.fromhex(TOKEN[2:])
    assert (row["owner"], row["spender"]) == (bytes.fromhex(A[2:]), bytes.fromhex(B[2:]))
    assert int.from_bytes(row["value"], "big") == 2**160 - 1
    (revoked,) = decode_one(
        with_logs(RpcLog(PERMIT2, topics, joined(0, *rest)))
    ).approvals.to_pylist()
    assert revoked["approved"] is False
    forged = decode_one(with_logs(RpcLog(TOKEN, topics, joined(5, *rest))))
    assert (forged.approvals.num_rows, forged.logs.num_rows) == (0, 1)


DIRTY = "0x" + "01".rjust(24, "0") + "0a" * 20
NOT_EVENTS = {
    "transfer of two topics": RpcLog(TOKEN, [TRANSFER, word(A)], word(5)),
    "transfer of one topic": RpcLog(TOKEN, [TRANSFER], joined(A, B, 5)),
    "transfer with short data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], word(5)[:-2]),
    "transfer with long data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], joined(5, 6)),
    "transfer without data": RpcLog(TOKEN, [TRANSFER, word(A), word(B)], "0x"),
    "nft transfer with data": RpcLog(TOKEN, [TRANSFER, word(A), word(B), word(1)], word(5)),
    "transfer from a dirty address": RpcLog(TOKEN, [TRANSFER, DIRTY, word(B)], word(5)),
    "transfer to a dirty address": RpcLog(TOKEN, [TRANSFER, word(A), DIRTY], word(5)),
    "nft from a dirty address": RpcLog(TOKEN, [TRANSFER, DIRTY, word(B), word(1)], "0x"),
    "single by a dirty operator": RpcLog(TOKEN, [SINGLE, DIRTY, word(A), word(B)], joined(1, 1)),
    "single with three words": RpcLog(TOKEN, [SINGLE, word(C), word(A), word(B)], joined(1, 1, 1)),
    "approval by a dirty owner": RpcLog(TOKEN, [APPROVAL, DIRTY, word(B)], word(5)),
    "for all that is no boolean": RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(2)),
    "for all beyond a byte": RpcLog(TOKEN, [FOR_ALL, word(A), word(B)], word(256)),
    "permit2 above uint160": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), word(TOKEN), word(B)], joined(2**160, 1)
    ),
    "permit2 beyond uint48": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), word(TOKEN), word(B)], joined(1, 2**48)
    ),
    "permit2 of a dirty token": RpcLog(
        PERMIT2, [PERMIT2_APPROVAL, word(A), DIRTY, word(B)], joined(1, 1)
    ),
    "the system log of a native transfer": RpcLog(SYSTEM, [TRANSFER, word(A), word(B)], word(5)),
    "a near miss of topic0": RpcLog(TOKEN, [TRANSFER[:-1] + "e", word(A), word(B)], word(5)),
    "a log without topics": RpcLog(TOKEN, [], "0x1234"),
    "an empty batch": RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 96, 0, 0)),
    "a batch of unequal arrays": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 128, 1, 7, 0)
    ),
    "a batch that lies about its length": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 64, 2**255, 1)
    ),
    "a batch that points out of its data": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(2**256 - 32, 2**256 - 1, 1, 1)
    ),
    "a batch of one item too many": RpcLog(
        TOKEN, [BATCH, word(C), word(A), word(B)], joined(64, 64, 2, 1)
    ),
    "a batch with no data": RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], "0x"),
}


@pytest.mark.parametrize("name", NOT_EVENTS)
def test_what_is_not_exactly_an_event_stays_a_log(name: str) -> None:
    """It is no flow and no approval, and its row keeps address, topics and data."""
    log = NOT_EVENTS[name]
    batch = decode_one(with_logs(log))
    assert token_flows(batch) == []
    assert batch.approvals.num_rows == 0
    (row,) = batch.logs.to_pylist()
    assert row["address"] == slow_decode.data(log.address)
    assert row["data"] == slow_decode.data(log.data)
    topics = [row[f"topic{i}"] for i in range(4)]
    assert [t for t in topics if t is not None] == [slow_decode.data(t) for t in log.topics]
    assert row["ordinal"] == 1


WORDS = st.one_of(
    st.integers(0, 10), st.sampled_from([32, 64, 96, 128, 160, 2**64, 2**255, 2**256 - 32])
)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=12), st.integers(0, 31))
def test_no_batch_gives_more_items_than_its_data_holds(words: list[int], cut: int) -> None:
    """Any data decodes to what a slow decoder finds in it, and at most a flow per word."""
    payload = bytes.fromhex(joined(*words)[2:])
    payload = payload[: max(0, len(payload) - cut)]
    log = RpcLog(TOKEN, [BATCH, word(C), word(A), word(B)], "0x" + payload.hex())
    batch = decode_one(with_logs(log))
    flows = token_flows(batch)
    expected = slow_decode.batch_items(payload) or []
    assert [(f["token_id"], f["value"]) for f in flows] == expected
    assert len(flows) <= len(payload) // 32
    assert batch.logs.num_rows == (0 if expected else 1)
