"""A JSON-RPC server on loopback that tells the truth about recorded blocks, or lies on demand."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from ingest.raw import RpcTransaction
from tests.ingest.made_blocks import receipt, reseal, seal, signed

Json = Any
Asked = tuple[float, str, list[Any]]
Tamper = Callable[[str, list[Any], Json], Json]


class Oops(Exception):
    """Raised by a ``tamper``: the node answers this error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def error(self) -> dict[str, Json]:
        """The error object."""
        return {"code": self.code, "message": str(self)}


@dataclass
class Answer:
    """An HTTP answer as it goes out: ``cut`` sends only so many bytes of the body.

    ``about`` are the calls of the request that it does not answer truthfully, by their places;
    None: all of them.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    about: Sequence[int] | None = None


@dataclass
class Recording:
    """Blocks of one chain as a node answers them, by hash and by number."""

    by_hash: dict[str, Json] = field(default_factory=dict)
    by_number: dict[int, str] = field(default_factory=dict)
    receipts: dict[str, list[Json]] = field(default_factory=dict)
    by_transaction: dict[str, list[Json]] = field(default_factory=dict)

    def add(self, block: Json, receipts: list[Json]) -> None:
        """A block that becomes the canonical one at its number."""
        self.by_hash[block["hash"]] = block
        self.by_number[int(block["number"], 16)] = block["hash"]
        self.receipts[block["hash"]] = receipts
        for each in receipts:
            self.by_transaction.setdefault(each["transactionHash"], []).append(each)

    def receipt(self, transaction_hash: str) -> Json:
        """The receipt of a transaction, from the canonical chain if it is on it."""
        known = self.by_transaction.get(transaction_hash, [])
        canonical = (r for r in known if r["blockHash"] in self.by_number.values())
        return next(canonical, known[-1]) if len(known) > 1 else next(iter(known), None)

    def forget_below(self, number: int) -> None:
        """Drop the blocks with lower numbers."""
        for hash_, block in list(self.by_hash.items()):
            if int(block["number"], 16) < number:
                for each in self.receipts.pop(hash_):
                    self.by_transaction.pop(each["transactionHash"], None)
                del self.by_hash[hash_]
        for old in [known for known in self.by_number if known < number]:
            del self.by_number[old]

    @property
    def numbers(self) -> list[int]:
        """The numbers that are there, in order."""
        return sorted(self.by_number)

    def grow(self, count: int, *, on: str | None = None, name: str = "") -> list[str]:
        """Add blocks that commit to what they hold, on the newest block or on ``on``.

        Each has two transactions and three logs. Siblings differ by ``name``. Returns their hashes.
        """
        hashes = []
        for _ in range(count):
            numbers = self.numbers
            parent = on or (self.by_number[numbers[-1]] if numbers else "0x" + "00" * 32)
            number = int(self.by_hash[parent]["number"], 16) + 1 if parent in self.by_hash else 100
            transactions = msgspec.json.decode(_two_transactions(number), type=list[RpcTransaction])
            receipts = [receipt(tx, logs) for logs, tx in enumerate(transactions, 1)]
            raw = seal(transactions, receipts)
            raw.block.number, raw.block.parent_hash = hex(number), parent
            raw.block.timestamp = hex(0x65000000 + 12 * number)
            raw.block.gas_limit = hex(2 * int(raw.block.gas_used, 16))  # so the base fee stands
            raw.block.extra_data = "0x" + name.encode().hex()
            reseal(raw)
            self.add(msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts))
            on = raw.block.hash
            hashes.append(raw.block.hash)
        return hashes


@cache
def _two_transactions(number: int) -> bytes:
    """Two signed transactions, as JSON: signing takes its time."""
    return msgspec.json.encode(
        [signed("legacy", 2 * number)[0], signed("dynamic_fee", 2 * number + 1)[0]]
    )


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has hung up: say nothing. Anything else is a fault of this server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Liar:
    """The server. Use it as a context.

    ``tamper(method, params, result)`` changes single results; it may raise Oops. ``intercept(
    requests)`` may answer a whole HTTP request in its place; None lets it pass. ``asked`` holds
    (time, method, params) of every call, ``lies`` the same of those that were not answered with the
    truth, ``posts`` the time of every HTTP request, ``head`` is the number of the newest block.
    """

    def __init__(self, recording: Recording, chain_id: int = 1) -> None:
        self.recording = recording
        self.chain_id = chain_id
        self.head = recording.numbers[-1]
        self.finalized: int | None = None
        self.tamper: Tamper = lambda _method, _params, result: result
        self.intercept: Callable[[Json], Answer | None] = lambda _requests: None
        self.shuffle = False
        self.asked: list[Asked] = []
        self.lies: list[Asked] = []
        self.posts: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()  # what hangs, hangs until this is set
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two packets

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:  # who asked has left
                    self.close_connection = True
                    return
                liar.headers.append({k.lower(): v for k, v in self.headers.items()})
                answer = liar.respond(json.loads(body))
                with suppress(ConnectionError):  # who asked may have left
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body[: answer.cut])
                if answer.cut is not None:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Liar:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def hang(self, _requests: Json) -> None:
        """An ``intercept`` that never answers."""
        self.released.wait(30)

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(name == method for _, name, _ in self.asked)

    def respond(self, payload: Json) -> Answer:
        """The answer to one HTTP request."""
        self.posts.append(time.monotonic())
        requests = payload if isinstance(payload, list) else [payload]
        now = self.posts[-1]
        asked: list[Asked] = [(now, each["method"], each["params"]) for each in requests]
        self.asked += asked
        if (answer := self.intercept(payload)) is not None:
            self.lies += asked if answer.about is None else [asked[at] for at in answer.about]
            return answer
        replies = [self.reply(request) for request in requests]
        if self.shuffle:
            replies.reverse()
        return Answer(json.dumps(replies if isinstance(payload, list) else replies[0]).encode())

    def reply(self, request: Json) -> Json:
        """The reply to one call of a request, tampered with where that is its turn."""
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        method, params = request["method"], request["params"]
        try:
            truth = self.truth(method, params)
        except Oops as oops:
            return {**reply, "error": oops.error()}
        try:
            result = self.tamper(method, params, truth)
        except Oops as oops:
            self.lies.append((time.monotonic(), method, params))
            return {**reply, "error": oops.error()}
        if result is not truth and result != truth:
            self.lies.append((time.monotonic(), method, params))
        return {**reply, "result": result}

    def truth(self, method: str, params: list[Any]) -> Json:
        """What an honest node answers."""
        recording = self.recording
        match method, params:
            case "eth_chainId", []:
                return hex(self.chain_id)
            case "eth_getBlockByNumber", [tag, _]:
                numbers = {"latest": self.head, "finalized": self.finalized}
                number = numbers[tag] if tag in numbers else int(tag, 16)
                if number is None:
                    raise Oops(-39001, "unknown block tag")
                known = number in recording.by_number and number <= self.head
                return recording.by_hash[recording.by_number[number]] if known else None
            case "eth_getBlockByHash", [hash_, _]:
                return recording.by_hash.get(hash_)
            case "eth_getBlockReceipts", [hash_]:
                return recording.receipts.get(hash_)
            case "eth_getTransactionReceipt", [hash_]:
                return recording.receipt(hash_)
            case "eth_getBlockTransactionCountByHash", [hash_]:
                block = recording.by_hash.get(hash_)
                return None if block is None else hex(len(block["transactions"]))
        raise Oops(-32601, f"the method {method} does not exist/is not available")
