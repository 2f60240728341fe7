"""Every decoder of the product on bytes it should not expect: an answer, or its own error; in time.

One table has them all. A module that decodes something and is not in it fails the last test.
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from chainwarden.api_client import ApiClient
from chainwarden.errors import ChainwardenError
from chainwarden.schema import ETHEREUM, BlocksAdded, Cursor
from chainwarden.scorecard import Campaign, read_truth
from chainwarden.server.keys import last_uses
from chainwarden.server.roles import Role
from chainwarden.server.tokens import TokenFile
from chainwarden.server.whereabouts import find, published
from chainwarden.settings import Secret, load_settings
from chainwarden.wire import (
    InvalidWire,
    check_transaction,
    decode_block,
    decode_blocks,
    decode_transaction,
    encode_blocks,
)
from detect import snapshot
from detect.bytecode import CodeReader, proxy_target, without_metadata
from detect.label_files import ListInfo, parse_list
from ingest import answers, node_calls
from ingest.decode import decode_blocks as decode_raw
from ingest.endpoint import Endpoint
from ingest.jsonl import JsonlSource
from ingest.parquet import ParquetSource
from ingest.publish import load_cursor
from ingest.raw import RawBlock
from ingest.verify import Verifier
from store.audit_seal import read_seal, seal
from store.backup import FOLDER, TOLD, Backup, backups
from store.label_archive import LabelArchive
from store.lake import Lake
from store.snapshots import SnapshotStore
from tests.bus.blocks import plain_batch
from tests.conftest import ROOT
from tests.ingest.made_blocks import made_block
from tests.rigs.mutations import hostile
from tests.store import made

CPU_SECONDS: Final = 1.0
"""The longest one input of at most a megabyte may take of a processor."""


@dataclass(frozen=True)
class Decoder:
    """``decode`` may raise ``errors``; ``seeds`` makes what it is meant for; ``covers`` modules."""

    decode: Callable[[bytes, Path], object]
    seeds: Callable[[Path], list[bytes]]
    covers: tuple[str, ...]
    errors: tuple[type[Exception], ...] = (ChainwardenError,)
    examples: int = 100


@cache
def _block() -> RawBlock:
    return made_block()


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """A decoder of files as one of bytes."""

    def decode(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return decode


def _score(path: Path) -> int:
    """Blocks of a file, verified and decoded as an intake does it."""
    count = 0
    for raw in JsonlSource(path, ETHEREUM).blocks():
        if isinstance(raw, RawBlock):
            with suppress(ChainwardenError):
                decode_raw(ETHEREUM, [raw], [Verifier().verify(raw)])
        count += 1
    return count


def _with_receipts(data: bytes, folder: Path) -> object:
    (folder / "y.blocks.jsonl").write_bytes(_json(_block().block))
    (folder / "y.receipts.jsonl").write_bytes(data)
    return _score(folder / "y.blocks.jsonl")


def _receipts_line(_: Path) -> list[bytes]:
    block = _block().block
    return [
        _json({"blockNumber": block.number, "blockHash": block.hash, "receipts": _block().receipts})
    ]


def _answer(data: bytes, _: Path) -> object:
    """Everything a node answers."""
    raw, block = msgspec.Raw(data), _block().block
    for read in (
        lambda: answers.read_position("n", raw),
        lambda: answers.read_block("n", int(block.number, 16), raw),
        lambda: answers.read_receipts("n", block, raw),
        lambda: answers.read_single_receipts("n", block, [raw] * len(block.transactions)),
        lambda: answers.read_calls("n", block, raw),
    ):
        with suppress(ChainwardenError):
            read()
    for each in (node_calls._quantity, node_calls._data, node_calls._word):
        with suppress(msgspec.MsgspecError, ValueError):  # what its caller takes for unknown
            each(raw)
    return None


def _answers(_: Path) -> list[bytes]:
    frame = {"type": "CALL", "from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "input": "0x"}
    trace = {"txHash": None, "result": {**frame, "value": "0x1", "calls": [frame]}}
    return [_json(_block().block), _json(_block().receipts), _json([trace]), b'"0x1f"']


def _reply(data: bytes, _: Path) -> object:
    endpoint = Endpoint("http://127.0.0.1:9")
    for encoding in (b"", b"gzip", b"deflate"):
        with suppress(ChainwardenError):
            endpoint._replies(asyncio.run(endpoint._read(_once(data), encoding)))
    return endpoint._refusal(500, data[:100], data)


async def _once(data: bytes) -> Any:
    yield data


def _wire(_: Path) -> list[bytes]:
    (event,) = encode_blocks(BlocksAdded(plain_batch([5], transactions=2)), 7)
    return [b"\n".join([event.block, *(value for _, value in event.transactions)])]


def _whole_event(data: bytes, _: Path) -> object:
    first, *rest = data.split(b"\n")
    name = plain_batch([5]).chain.name
    block, records = decode_block(first, name), [decode_transaction(each, name) for each in rest]
    block.position()
    for record in records:
        check_transaction(record)
    return decode_blocks(plain_batch([5]).chain, [(block, records)])


def _parquet(folder: Path) -> list[bytes]:
    lake = Lake(folder / "lake", ETHEREUM)
    files = lake.write(made.blocks(1, 2))
    return [(folder / "lake" / file.path).read_bytes() for file in files][:3]


def _labels(_: Path) -> list[bytes]:
    wallet = "0x" + "ab" * 20
    return [
        f"address,label,valid_from\n{wallet},phishing,2020-01-01\n".encode(),
        _json([wallet]),
        _json([{"address": wallet, "comment": "x", "date": "7/18/17"}]),
        _json({wallet: {"labels": ["phish-hack"], "name": "Fake"}}),
    ]


def _snapshots(folder: Path) -> list[bytes]:
    store = SnapshotStore(folder / "s", folder / "snapshot.key")
    return [store.save(b"state" * 50, Cursor(made.position(3), {"a": 1}, 1, 2, 3)).read_bytes()]


def _state(_: Path) -> list[bytes]:
    whole = snapshot.pack("x", "s", {"a": 1}, {"n": np.arange(5), "b": np.zeros(3, np.uint8)})
    return [whole[: -snapshot.DIGEST_BYTES]]


def _unpacked(data: bytes, _: Path) -> object:
    """With a right digest: as if it were ours, and of another version or machine."""
    digest = hashlib.blake2b(data, digest_size=snapshot.DIGEST_BYTES).digest()
    return snapshot.unpack(data + digest, "x", "s", {})


def _token_file(folder: Path) -> list[bytes]:
    TokenFile(folder / "tokens.json").create("ana", Role.VIEWER, 5)
    return [(folder / "tokens.json").read_bytes()]


def _whereabouts(folder: Path) -> list[bytes]:
    with published(folder, "127.0.0.1", 9464):
        return [(folder / "server.json").read_bytes()]


def _code(data: bytes, _: Path) -> object:
    reader = CodeReader()
    reader.of_init(data)
    proxy_target(data)
    without_metadata(data)
    return reader.of_runtime(data)


def _archived(data: bytes, folder: Path) -> object:
    archive = LabelArchive(folder / "archive")
    (folder / "archive").mkdir(exist_ok=True)
    (folder / "archive" / "d.gz").write_bytes(data)
    return archive.read("d")


def _backup(data: bytes, folder: Path) -> object:
    place = folder / FOLDER / "one"
    place.mkdir(parents=True, exist_ok=True)
    (place / TOLD).write_bytes(data)
    return backups(folder)


def _asked(data: bytes, _: Path) -> object:
    """What our own command makes of what answers at the place where an API should be."""

    class Answer:
        status = 200

        def read(self, _most: int) -> bytes:
            return data

    class Connection:
        def __init__(self, *_: object, **__: object) -> None: ...

        def request(self, *_: object) -> None: ...

        def getresponse(self) -> Answer:
            return Answer()

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("http.client.HTTPConnection", Connection)
        return ApiClient("127.0.0.1", 9, Secret("")).get("/api/v1/status")


SETTINGS_FILE: Final = b"""chain = "x"
chain_id = 5
[source]
rpc = ["http://127.0.0.1:8545"]
start = 7
[detect]
labels = ["a.csv"]
label_delay_days = 30.0
[detect.challenger]
pairs = 0.7
[[webhooks]]
name = "ops"
url = "https://x.example"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[[labels]]
path = "l.csv"
valid_from = 2020-01-01
"""
TRUTH: Final = _json([Campaign("a", "x", 1, 2, {"attacker": ["0x"]}, [], "note")])

DECODERS: Final[dict[str, Decoder]] = {
    "block lines": Decoder(
        _in_file("x.blocks.jsonl", _score), lambda _: [_json(_block().block)],
        ("ingest.jsonl", "ingest.lines"),
    ),
    "packed block lines": Decoder(
        _in_file("x.blocks.jsonl.gz", _score), lambda _: [gzip.compress(_json(_block().block))],
        ("ingest.lines",),
    ),
    "receipt lines": Decoder(_with_receipts, _receipts_line, ("ingest.sidecar",)),
    "node answers": Decoder(_answer, _answers, ("ingest.answers", "ingest.node_calls")),
    "JSON-RPC replies": Decoder(
        _reply,
        lambda _: [_json([{"jsonrpc": "2.0", "id": 0, "result": {}}]), gzip.compress(b"{}")],
        ("ingest.endpoint",),
    ),
    "wire records": Decoder(
        _whole_event, _wire, ("chainwarden.wire.records",), (InvalidWire,), 200
    ),
    "Parquet files": Decoder(
        _in_file("x.parquet", lambda path: list(ParquetSource(path, ETHEREUM).batches(10))),
        _parquet, ("ingest.parquet", "ingest.rows"),
    ),
    "label lists": Decoder(
        lambda data, folder: parse_list(ListInfo(folder / "l.csv"), data), _labels,
        ("detect.label_lists",), examples=200,
    ),
    "settings": Decoder(
        _in_file("chainwarden.toml", load_settings), lambda _: [SETTINGS_FILE],
        ("chainwarden.settings.reading",), examples=200,
    ),
    "snapshot files": Decoder(
        _in_file(
            "snapshot-000000000009.bin",
            lambda path: SnapshotStore(path.parent, path.parent / "snapshot.key").load(path),
        ),
        _snapshots, ("store.snapshots",),
    ),
    "audit seals": Decoder(
        _in_file("x.seal.json", read_seal),
        lambda folder: [_json(seal(folder, "beefbeef", "ethereum", 7, "ab" * 32, 1.7e9))],
        ("store.audit_seal",),
    ),
    "detector states": Decoder(_unpacked, _state, ("detect.snapshot",), examples=200),
    "ingest cursors": Decoder(
        _in_file("cursor.json", load_cursor),
        lambda _: [_json({"version": 1, "recent": [{"number": 1, "hash": "0x" + "ab" * 32}]})],
        ("ingest.publish",),
    ),
    "truth files": Decoder(
        _in_file("t.json", read_truth), lambda _: [TRUTH], ("chainwarden.scorecard",)
    ),
    "tokens": Decoder(
        _in_file("tokens.json", lambda path: TokenFile(path).all()), _token_file,
        ("chainwarden.server.tokens",),
    ),
    "last uses": Decoder(
        _in_file("tokens.used.json", last_uses), lambda _: [_json({"ab": 5})],
        ("chainwarden.server.keys",), (),
    ),
    "server.json": Decoder(
        _in_file("server.json", lambda path: find(path.parent)), _whereabouts,
        ("chainwarden.server.whereabouts",), (),
    ),
    "backup.json": Decoder(
        _backup,
        lambda _: [_json(Backup("one", 1.7e9, "ethereum", "beef", 5, 7, "0x" + "ab" * 32, 9, 99))],
        ("store.backup",), (),
    ),
    "answers of an API": Decoder(
        _asked, lambda _: [_json({"error": "", "hint": ""})], ("chainwarden.api_client",)
    ),
    "archived label lists": Decoder(
        _archived, lambda _: [gzip.compress(b"address,label\n" * 50)], ("store.label_archive",)
    ),
    "code": Decoder(
        _code,
        lambda _: [bytes.fromhex("6080604052348015600f57600080fd5b50603f80601d6000396000f3fe")],
        ("detect.bytecode",), (), 200,
    ),
}  # fmt: skip
ELSEWHERE: Final = {
    "chainwarden.kafka_bus.consumer_process": "a process of ours, by a pipe that nobody else has",
    "chainwarden.restart": "what it packed itself, in memory",
    "chainwarden.replay": "its own replay.json, none where damaged; tests/report/test_gather.py",
    "store.lake_rows": "files of the manifest, as store.lake; tests/store/test_evidence.py",
    "store.api": "bodies: tests/store/test_injection.py and test_api.py ask over HTTP",
    "store.backup_api": "bodies: tests/store/test_openapi.py makes them up",
    "store.triage_api": "the same; tests/store/test_injection.py and test_triage_api.py",
    "ingest.pool": "one text of a node, in a ValueError; tests/ingest/rpc/test_hostile_answers.py",
    "store.parameters": "the same bodies; tests/store/test_openapi.py makes up more",
    "store.verification": "a message that somebody checks; tests/store/test_verification.py",
    "store.lake_flows": "files of the manifest, as store.lake; tests/store/test_flows.py",
    "ingest.provider": "what web3 made, and what ingest.answers read",
    "store.alert_table": "columns of the ledger, which only this process writes",
    "store.model_table": "columns of the ledger",
    "store.cursor_table": "columns of the ledger",
    "store.payload": "a column of the ledger",
    "store.notice": "a column of the ledger",
    "store.delivery_answers": "a column of the ledger",
    "store.lake": "files of the manifest, by size and rows; tests/store/test_lake.py",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where decoders of files find theirs."""
    return tmp_path_factory.mktemp("decoders")


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_answers_or_raises_its_own_error(name: str, folder: Path) -> None:
    """Whatever the bytes: no other exception, and not more than a second of the processor."""
    decoder, place = DECODERS[name], folder / name
    place.mkdir()
    seeds = decoder.seeds(place)
    for seed in seeds:
        decoder.decode(seed, place)

    @settings(
        max_examples=decoder.examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(hostile(seeds))
    def attempt(data: bytes) -> None:
        began = time.thread_time()
        with suppress(*decoder.errors):
            decoder.decode(data, place)
        assert time.thread_time() - began < CPU_SECONDS

    attempt()


def test_no_decoder_is_forgotten() -> None:
    """Each module that decodes JSON, TOML, CSV, Parquet or packed bytes is in a table."""
    covered = {module for decoder in DECODERS.values() for module in decoder.covers}
    found = {module for module in modules() if module not in ELSEWHERE}
    assert found - covered == set()
    assert not covered & set(ELSEWHERE)
    assert set(ELSEWHERE) <= set(modules())


DECODING: Final = {
    ("json", "decode"), ("json", "Decoder"), ("tomllib", "loads"), ("csv", "reader"),
    ("csv", "DictReader"), ("zlib", "decompressobj"), ("zlib", "decompress"),
    ("gzip", "decompress"), ("pq", "ParquetFile"), ("pq", "read_table"), ("pq", "read_metadata"),
    ("pq", "read_schema"), ("json", "loads"), ("pickle", "loads"), ("yaml", "safe_load"),
    ("codec", "decompress"),
}  # fmt: skip


@cache
def modules() -> tuple[str, ...]:
    """The modules that call something that decodes."""
    return tuple(_modules())


def _modules() -> Iterator[str]:
    for package in ("chainwarden", "ingest", "detect", "store"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "simulate" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and (_last(node.value), node.attr) in DECODING:
                    yield ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    break


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
