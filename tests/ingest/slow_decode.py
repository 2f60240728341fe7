"""A second decoder, written from the EIPs over plain JSON, one event at a time and without haste.

It shares no code with ``ingest``: rows are tuples in the order of the schema's columns.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import rlp
from eth_utils.crypto import keccak

Row = tuple[Any, ...]
Json = dict[str, Any]

TRANSFER = keccak(text="Transfer(address,address,uint256)")
SINGLE = keccak(text="TransferSingle(address,address,address,uint256,uint256)")
BATCH = keccak(text="TransferBatch(address,address,address,uint256[],uint256[])")
APPROVAL = keccak(text="Approval(address,address,uint256)")
FOR_ALL = keccak(text="ApprovalForAll(address,address,bool)")
PERMIT2_APPROVAL = keccak(text="Approval(address,address,address,uint160,uint48)")
PERMIT2_PERMIT = keccak(text="Permit(address,address,address,uint160,uint48,uint48)")
PERMIT2 = bytes.fromhex("000000000022D473030F116dDEE9F6B43aC78BA3")


def read_json(folder: Path, name: str) -> list[tuple[Json, list[Json] | None, list[Json] | None]]:
    """The blocks of ``run`` or ``forks`` with their receipts and calls, as plain JSON."""

    def lines(kind: str) -> list[Json]:
        path = folder / f"{name}.{kind}.jsonl.gz"
        if not path.exists():
            return []
        with gzip.open(path) as file:
            return [json.loads(line) for line in file]

    receipts = {line["blockHash"]: line["receipts"] for line in lines("receipts")}
    calls = {line["blockNumber"]: line["calls"] for line in lines("calls")}
    blocks = lines("blocks")
    return [(b, receipts.get(b["hash"]), calls.get(b["number"])) for b in blocks]


def data(text: str | None) -> bytes | None:
    """The bytes of hex text."""
    return None if text is None else bytes.fromhex(text.removeprefix("0x"))


def number(text: str | None) -> int | None:
    """The number of hex text."""
    return None if text is None else int(text, 16)


def uint256(value: int) -> bytes:
    """A number as 32 bytes."""
    return value.to_bytes(32, "big")


def created_by(sender: bytes, nonce: int) -> bytes:
    """The address of the contract made by a sender at a nonce."""
    return keccak(rlp.encode([sender, nonce]))[12:]


def price(text: str | None) -> int | None:
    """A price, saturated at 64 bits."""
    return None if text is None else min(int(text, 16), 2**64 - 1)


def decode(block: Json, receipts: list[Json] | None, calls: list[Json] | None) -> dict[str, Any]:
    """The rows of each table of one block."""
    tables: dict[str, list[Row]] = {
        name: []
        for name in ("transactions", "flows", "approvals", "creations", "logs", "authorizations")
    }
    head = (number(block["number"]), number(block["timestamp"]))
    gas_before = 0
    for index, tx in enumerate(block["transactions"]):
        receipt = receipts[index] if receipts is not None else None
        key = (*head, data(tx["hash"]), index)
        sender, to, value = data(tx["from"]), data(tx.get("to")), int(tx["value"], 16)
        assert sender is not None
        status = None if receipt is None else number(receipt.get("status"))
        new = None if to is not None else created_by(sender, int(tx["nonce"], 16))
        gas_used = None
        if receipt is not None:
            gas_used = int(receipt["cumulativeGasUsed"], 16) - gas_before
            gas_before += gas_used
        blobs = tx.get("blobVersionedHashes")
        tables["transactions"].append(
            (
                *key,
                int(tx.get("type") or "0x0", 16),
                number(tx["nonce"]),
                sender,
                to,
                uint256(value),
                float(value),
                data(tx["input"]),
                number(tx["gas"]),
                price(tx.get("gasPrice")),
                price(tx.get("maxFeePerGas")),
                price(tx.get("maxPriorityFeePerGas")),
                price(tx.get("maxFeePerBlobGas")),
                None if blobs is None else len(blobs),
                None if receipt is None else price(receipt.get("effectiveGasPrice")),
                gas_used,
                status,
                new if receipt is not None and status != 0 else None,
                None if receipt is None else len(receipt["logs"]),
            )
        )
        native = (0, 0, 0, None, None, sender, to or new, uint256(value), float(value), status)
        tables["flows"].append((*key, *native))
        if new is not None and status != 0:
            tables["creations"].append((*key, 0, sender, new, data(tx["input"])))
        own_calls = [c for c in calls or [] if c["transactionHash"] == tx["hash"]]
        follow(own_calls, key, status, tables)
        for position, log in enumerate(receipt["logs"] if receipt is not None else [], 1):
            event(log, position, key, status, tables)
        for position, entry in enumerate(tx.get("authorizationList") or []):
            chain_id = uint256(int(entry["chainId"], 16))
            granted = (position, chain_id, data(entry["address"]), number(entry["nonce"]))
            tables["authorizations"].append((*key, *granted))
    for position, each in enumerate(block.get("withdrawals") or []):
        wei = int(each["amount"], 16) * 10**9
        moved = (bytes(20), data(each["address"]), uint256(wei), float(wei), None)
        tables["flows"].append((*head, None, None, position, 0, 5, None, None, *moved))
    return tables


def follow(calls: list[Json], key: Row, status: int | None, tables: dict[str, Any]) -> None:
    """The calls of one transaction to internal flows and creations."""
    by_index = {call["index"]: call for call in calls}

    def undone(call: Json | None) -> bool:
        while call is not None:
            if call["statusFailed"] or call["reverted"]:
                return True
            call = by_index.get(call["parentIndex"])
        return status == 0

    moves = 0
    for position, call in enumerate(calls):
        if call["depth"] == 0 or undone(call) or call["callType"] not in ("CALL", "CREATE"):
            continue
        sender, to, value = data(call["from"]), data(call["to"]), int(call["value"], 16)
        if value:
            moves += 1
            moved = (None, None, sender, to, uint256(value), float(value), status)
            tables["flows"].append((*key, -moves, 0, 4, *moved))
        if call["callType"] == "CREATE":
            code = data(call["input"]) or None
            tables["creations"].append((*key, -(1 + position), sender, to, code))


def event(log: Json, ordinal: int, key: Row, status: int | None, tables: dict[str, Any]) -> None:
    """One log to a flow per transfer, an approval, or a row of ``logs``."""
    address, payload = data(log["address"]), data(log["data"])
    topics = [data(topic) or b"" for topic in log["topics"]]
    assert address is not None
    assert payload is not None
    words = [payload[i : i + 32] for i in range(0, len(payload), 32)]
    shape = (topics[0] if topics else b"", len(topics), len(payload))
    parties = [topic[12:] for topic in topics[1:]]
    clean = [not any(topic[:12]) for topic in topics[1:]]

    def flow(kind: int, item: int, ident: bytes | None, who: list[bytes], value: bytes) -> None:
        amount = float(int.from_bytes(value, "big"))
        row = (ordinal, item, kind, address, ident, who[0], who[1], value, amount, status)
        tables["flows"].append((*key, *row))

    def approval(
        kind: int, token: bytes, ident: bytes | None, who: list[bytes], value: Any
    ) -> None:
        amount = None if not isinstance(value, bytes) else float(int.from_bytes(value, "big"))
        granted = any(who[1]) and (any(value) if isinstance(value, bytes) else value is not False)
        exact = value if isinstance(value, bytes) else None
        row = (ordinal, kind, token, ident, who[0], who[1], exact, amount, granted)
        tables["approvals"].append((*key, *row))

    if shape == (TRANSFER, 3, 32) and all(clean):
        flow(1, 0, None, parties, payload)
    elif shape == (TRANSFER, 4, 0) and all(clean[:2]):
        flow(2, 0, topics[3], parties, uint256(1))
    elif shape == (SINGLE, 4, 64) and all(clean):
        flow(3, 0, words[0], parties[1:], words[1])
    elif shape[:2] == (BATCH, 4) and all(clean) and (items := batch_items(payload)):
        for item, (ident, value) in enumerate(items):
            flow(3, item, ident, parties[1:], value)
    elif shape == (APPROVAL, 3, 32) and all(clean):
        approval(0, address, None, parties, payload)
    elif shape == (APPROVAL, 4, 0) and all(clean[:2]):
        approval(1, address, topics[3], parties, None)
    elif shape == (FOR_ALL, 3, 32) and all(clean) and int.from_bytes(payload, "big") < 2:
        approval(2, address, None, parties, payload[31] == 1)
    elif (
        shape in ((PERMIT2_APPROVAL, 4, 64), (PERMIT2_PERMIT, 4, 96))
        and all(clean)
        and address == PERMIT2
        and int.from_bytes(words[0], "big") < 2**160
        and all(int.from_bytes(word, "big") < 2**48 for word in words[1:])
    ):
        kind = 3 if len(words) == 2 else 4
        approval(kind, parties[1], None, [parties[0], parties[2]], words[0])
    else:
        padded = [*topics, None, None, None, None][:4]
        tables["logs"].append((*key, ordinal, address, *padded, payload))


def batch_items(payload: bytes) -> list[tuple[bytes, bytes]] | None:
    """Ids and values of a TransferBatch; None where an offset or a length leaves the data."""

    def array(head: int) -> list[bytes] | None:
        if len(payload) < head + 32:
            return None
        start = int.from_bytes(payload[head : head + 32], "big")
        if start + 32 > len(payload):
            return None
        count = int.from_bytes(payload[start : start + 32], "big")
        if start + 32 + 32 * count > len(payload):
            return None
        return [payload[start + 32 + 32 * i : start + 64 + 32 * i] for i in range(count)]

    ids, values = array(0), array(32)
    if ids is None or values is None or len(ids) != len(values):
        return None
    return list(zip(ids, values, strict=True))
