"""How nodes lie: every fault of a JSON-RPC node that was seen in the wild, as a mode of the liar.

A mode is a function of a random generator and a ``Liar``: it sets what the liar does, and the seed
decides which answers it does it to. ``MODES`` holds them by name, each with the number that the
fault has in the fault matrix.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest.codec import logs_bloom
from ingest.raw import RpcLog
from tests.rigs.liar import Answer, Json, Liar, Oops, Tamper
from tests.rigs.nonsense import VALUES, mangled, replaced

Lie = Callable[[random.Random, Liar], None]
Change = Callable[[list[Any], Json], Json]

RECEIPTS = "eth_getBlockReceipts"
BY_HASH = "eth_getBlockByHash"
BY_NUMBER = "eth_getBlockByNumber"


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to lie.

    ``alone``: there is no honest node beside the liar. ``harmless``: the answers are odd and true
    enough, nothing has to be asked again. ``unsure``: only some of the lies matter.
    """

    fault: str
    lie: Lie
    alone: bool = False
    harmless: bool = False
    unsure: bool = False


MODES: dict[str, Mode] = {}
"""Every mode, by name."""


def _mode(
    fault: str, *, alone: bool = False, harmless: bool = False, unsure: bool = False
) -> Callable[[Lie], Lie]:
    def register(lie: Lie) -> Lie:
        MODES[lie.__name__] = Mode(fault, lie, alone, harmless, unsure)
        return lie

    return register


def _often(rng: random.Random, change: Change, *methods: str, share: float = 0.5) -> Tamper:
    """A tamper that changes that share of what those methods answer, if it is anything."""

    def tamper(method: str, params: list[Any], truth: Json) -> Json:
        is_block = method in methods and truth and params[0] not in ("latest", "finalized")
        return change(params, truth) if is_block and rng.random() < share else truth

    return tamper


# --- nothing, or less than there is ---------------------------------------------------------------


@_mode("N1", alone=True)
def null(rng: random.Random, liar: Liar) -> None:
    """Half of the time there is no such block, no such receipts."""
    liar.tamper = _often(rng, lambda _p, _t: None, BY_HASH, BY_NUMBER, RECEIPTS)


NOT_FOUND = (
    (-32000, "header not found"),
    (-32000, "block not found: 0x1"),
    (-32001, "Resource not found."),
    (-39001, "Unknown block"),
    (-32000, "could not find block"),
    (-32000, "cannot query unfinalized data"),
    (-32603, "Internal error"),
    (-32099, "words that nobody has read before"),
)


@_mode("N2", alone=True)
def not_found(rng: random.Random, liar: Liar) -> None:
    """Error objects of many clients, and one that nobody knows."""

    def change(_: list[Any], __: Json) -> Json:
        raise Oops(*rng.choice(NOT_FOUND))

    liar.tamper = _often(rng, change, BY_HASH, BY_NUMBER, share=0.3)


@_mode("N3")
def wrong_count_of_receipts(rng: random.Random, liar: Liar) -> None:
    """One short, one too many, none at all, a null among them."""

    def change(_: list[Any], truth: Json) -> Json:
        return rng.choice([truth[:-1], [*truth, truth[0]], [], [None, *truth[1:]], [None]])

    liar.tamper = _often(rng, change, RECEIPTS)


@_mode("N4")
def a_log_is_missing(rng: random.Random, liar: Liar) -> None:
    """One log less; every other time the receipt's bloom says so, too."""

    def change(_: list[Any], truth: Json) -> Json:
        rows = [row for row, each in enumerate(truth) if each["logs"]]
        if not rows:
            return truth
        receipts = copy.deepcopy(truth)
        chosen = receipts[rng.choice(rows)]
        chosen["logs"].pop(rng.randrange(len(chosen["logs"])))
        if rng.random() < 0.5:
            chosen["logsBloom"] = _bloom(chosen["logs"])
        return receipts

    liar.tamper = _often(rng, change, RECEIPTS)


def _bloom(logs: list[Json]) -> str:
    return "0x" + logs_bloom(msgspec.convert(logs, list[RpcLog])).hex()


# --- something else -------------------------------------------------------------------------------


@_mode("N5")
def stale_logs(rng: random.Random, liar: Liar) -> None:
    """A log of another block added, a log that says another block's hash, one of another's."""

    def change(params: list[Any], truth: Json) -> Json:
        strange = _stranger(rng, liar, params[0])
        if not truth or strange == params[0]:  # the first block has no other beside it yet
            return truth
        receipts = copy.deepcopy(truth)
        chosen = rng.choice(receipts)
        phantom = {
            "address": "0x" + "ab" * 20,
            "topics": [],
            "data": "0x",
            "blockHash": chosen["blockHash"],
        }
        if not chosen["logs"] or rng.random() < 0.3:
            chosen["logs"].append(phantom)
        elif rng.random() < 0.5:
            rng.choice(chosen["logs"])["blockHash"] = strange
        else:
            rng.choice(chosen["logs"])["transactionHash"] = strange
        return receipts

    liar.tamper = _often(rng, change, RECEIPTS)


@_mode("N6", harmless=True)
def log_indexes(rng: random.Random, liar: Liar) -> None:
    """Twice the same, from 0 in every transaction, none, nonsense; logs without a transaction."""

    def change(_: list[Any], truth: Json) -> Json:
        receipts = copy.deepcopy(truth)
        kind = rng.randrange(4)
        for each in receipts:
            for place, log in enumerate(each["logs"]):
                index = {0: "0x0", 1: hex(place), 2: None, 3: "0xnonsense"}[kind]
                log["logIndex"] = index
                if kind == 2:
                    log.pop("transactionHash", None)
        return receipts

    liar.tamper = _often(rng, change, RECEIPTS)


@_mode("N7")
def block_of_another_peer(rng: random.Random, liar: Liar) -> None:
    """The block comes from somebody who has another one at that height."""

    def change(params: list[Any], truth: Json) -> Json:
        if isinstance(params[0], str) and len(params[0]) == 66:
            return liar.recording.by_hash[_stranger(rng, liar, params[0])]
        known = liar.recording.by_number
        others = [hash_ for number, hash_ in known.items() if number != int(params[0], 16)]
        return liar.recording.by_hash[rng.choice(others)] if others else truth

    liar.tamper = _often(rng, change, BY_HASH, BY_NUMBER)


@_mode("N7")
def receipts_of_another_peer(rng: random.Random, liar: Liar) -> None:
    """The receipts are another block's, and every other time they do not say so.

    A sibling's may be this block's but for the places of their logs: then it is no lie.
    """

    def change(params: list[Any], _: Json) -> Json:
        others = copy.deepcopy(liar.recording.receipts[_stranger(rng, liar, params[0])])
        if rng.random() < 0.5:
            logs = [log for each in others for log in each["logs"]]
            for each in (*others, *logs):
                each |= {"blockHash": params[0]} if "blockHash" in each else {}
            for place, log in enumerate(logs):
                log["logIndex"] = hex(place)
        return others

    liar.tamper = _often(rng, change, RECEIPTS)


def _stranger(rng: random.Random, liar: Liar, hash_: str) -> str:
    """The hash of another block near that one, a sibling where it has one."""
    number = int(liar.recording.by_hash[hash_]["number"], 16)
    known = list(liar.recording.by_hash)
    at = known.index(hash_)
    near = [h for h in known[max(0, at - 4) : at + 5] if h != hash_]
    siblings = [h for h in near if int(liar.recording.by_hash[h]["number"], 16) == number]
    return rng.choice(siblings or near or known)


@_mode("N7")
def another_sender(rng: random.Random, liar: Liar) -> None:
    """What no root commits to: who sent a transaction, what it paid, what it created."""

    def change(_: list[Any], truth: Json) -> Json:
        block = copy.deepcopy(truth)
        if not block["transactions"]:
            return truth
        chosen = rng.choice(block["transactions"])
        chosen[rng.choice(["from", "hash"])] = "0x" + rng.randbytes(20).hex() + "00" * 12
        return block

    liar.tamper = _often(rng, change, BY_HASH, BY_NUMBER)


@_mode("N15")
def news_that_is_none(rng: random.Random, liar: Liar) -> None:
    """A header field or a type of transaction that nobody knows, so that something else passes."""

    def change(_: list[Any], truth: Json) -> Json:
        block = copy.deepcopy(truth)
        if rng.random() < 0.5:
            block |= {"inclusionListRoot": "0x" + "09" * 32, "timestamp": "0x1"}
            return block
        for each in block["transactions"][:1]:
            each |= {"type": "0x6a", "value": hex(10**30), "hash": "0x" + rng.randbytes(32).hex()}
        return block if block["transactions"] else truth

    liar.tamper = _often(rng, change, BY_HASH, BY_NUMBER)


# --- heads ----------------------------------------------------------------------------------------


@_mode("N9", harmless=True)
def heads_that_loop(rng: random.Random, liar: Liar) -> None:
    """Its head is one of the last ten blocks, again and again, most of the time."""

    def tamper(method: str, params: list[Any], truth: Json) -> Json:
        if method != BY_NUMBER or params[0] != "latest" or rng.random() < 0.3:
            return truth
        known = liar.recording
        number = max(min(known.by_number), liar.head - rng.randrange(10))
        return known.by_hash[known.by_number[number]]

    liar.tamper = tamper


@_mode("N9", harmless=True)
def a_head_that_stands(rng: random.Random, liar: Liar) -> None:
    """It has stopped: its head is the first block for ever, and it has no other."""
    stands = liar.recording.by_hash[liar.recording.by_number[liar.head]]
    assert rng

    def tamper(method: str, params: list[Any], truth: Json) -> Json:
        if method == "eth_chainId" or not truth:
            return truth
        if params[0] == "latest":
            return stands
        return truth if params[0] in (stands["hash"], stands["number"]) else None

    liar.tamper = tamper


# --- how answers travel ---------------------------------------------------------------------------


@_mode("N13", alone=True, harmless=True)
def out_of_order(rng: random.Random, liar: Liar) -> None:
    """Replies of a batch in any order, their ids as text, a stranger's among them, one twice."""

    def intercept(requests: Json) -> Answer | None:
        if not isinstance(requests, list):
            return None
        replies = [{**liar.reply(each), "id": str(each["id"])} for each in requests]
        stranger = {"jsonrpc": "2.0", "id": 10**9, "result": None}
        replies += [stranger, rng.choice(replies)]
        rng.shuffle(replies)
        return Answer(json.dumps(replies).encode())

    liar.intercept = intercept


@_mode("N13", alone=True)
def replies_that_are_missing(rng: random.Random, liar: Liar) -> None:
    """Some of a batch, or only the first, which is an error; now and then an object for all."""

    def intercept(requests: Json) -> Answer | None:
        if not isinstance(requests, list) or rng.random() < 0.6:
            return None
        if rng.random() < 0.4:
            error = {"code": -32000, "message": "response size exceeded"}
            only = {"jsonrpc": "2.0", "id": requests[0]["id"], "error": error}
            return Answer(json.dumps([only]).encode())
        if rng.random() < 0.1:
            error = {"code": -32005, "message": "limit exceeded"}
            return Answer(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())
        rest = [liar.reply(each) for each in requests[1:]]
        return Answer(json.dumps(rest).encode(), about=[0])

    liar.intercept = intercept


@_mode("N14", alone=True)
def at_most_five_at_once(rng: random.Random, liar: Liar) -> None:
    """Batches of more than five are too large, said in one of three ways."""

    def intercept(requests: Json) -> Answer | None:
        if not isinstance(requests, list) or len(requests) <= 5:
            return None
        error = {"code": -32600, "message": "batch too large"}
        said = {"jsonrpc": "2.0", "id": None, "error": error}
        return rng.choice(
            [
                Answer(b"", 413),
                Answer(json.dumps(said).encode()),
                Answer(json.dumps([said]).encode(), 400),
            ]
        )

    liar.intercept = intercept


RETRY_AFTER_SECONDS = 0.05


@_mode("N12", alone=True)
def asked_too_often(rng: random.Random, liar: Liar) -> None:
    """Every so often it wants to be left alone for a while, and says for how long."""

    def intercept(_: Json) -> Answer | None:
        if rng.random() < 0.9:
            return None
        return Answer(b"", 429, {"Retry-After": str(RETRY_AFTER_SECONDS)})

    liar.intercept = intercept


@_mode("N11")
def answers_that_break_off(rng: random.Random, liar: Liar) -> None:
    """The connection ends in the middle, or the body does and says that it is whole."""

    def intercept(requests: Json) -> Answer | None:
        if rng.random() < 0.7:
            return None
        many = isinstance(requests, list)
        replies = [liar.reply(each) for each in (requests if many else [requests])]
        body = json.dumps(replies if many else replies[0]).encode()
        cut = rng.randrange(1, len(body) - 1)
        return Answer(body, cut=cut) if rng.random() < 0.5 else Answer(body[:cut])

    liar.intercept = intercept


# --- nonsense -------------------------------------------------------------------------------------


@_mode("N19")
def nonsense(rng: random.Random, liar: Liar) -> None:
    """Bodies that are no JSON-RPC: bombs, garbage, pages, damaged packing."""

    def intercept(_: Json) -> Answer | None:
        return mangled(rng) if rng.random() < 0.3 else None

    liar.intercept = intercept


@_mode("N19", unsure=True)
def nonsense_in_fields(rng: random.Random, liar: Liar) -> None:
    """A field, somewhere in a block or its receipts, is anything else than it should be."""

    def change(_: list[Any], truth: Json) -> Json:
        return replaced(copy.deepcopy(truth), rng, rng.choice(VALUES))

    liar.tamper = _often(rng, change, BY_HASH, BY_NUMBER, RECEIPTS)
