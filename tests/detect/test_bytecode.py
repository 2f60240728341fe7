from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock
from chainwarden.schema import ETHEREUM
from detect.bytecode import (
    FEATURES,
    FLAGS,
    PACKED_BYTES,
    CodeReader,
    feature_name,
    gram_name,
    grams_of,
    opcodes_of,
    pack_features,
    proxy_target,
    sketch_of,
    unpack_features,
    without_metadata,
)
from detect.kernels.bytecode import GRAMS, SELECTORS, SKETCH, gram_bucket, jaccard
from detect.known.bytecode import FLASH_CALLBACKS, METAMORPHIC_PREFIX, PROXY_PATTERNS
from ingest.decode import decode_blocks
from ingest.jsonl import JsonlSource
from ingest.simulate.evm import assemble, erc20_init_code
from tests.detect.build import at, wallet
from tests.detect.codes import deploying, program

READER = CodeReader()


def test_init_code_tells_what_it_deploys() -> None:
    """The runtime is found behind a constructor, whatever arguments follow it."""
    runtime = program(1)
    for arguments in (b"", bytes(64)):
        code = READER.of_init(deploying(runtime, arguments))
        assert code.runtime == runtime
        assert "unread constructor" not in code.flags
    supply = erc20_init_code(10**24)
    token = READER.of_init(supply)
    assert supply.endswith(token.runtime)
    assert {0xA9059CBB, 0x23B872DD, 0x095EA7B3} <= set(token.selectors)
    assert assemble(["CALLVALUE"])[0] == token.runtime[0]


def test_a_clone_factorys_init_code_is_a_proxy() -> None:
    """The init code of EIP-1167's reference deploys a proxy, whose target is read."""
    target = wallet(1)
    init = (
        bytes.fromhex("3d602d80600a3d3981f3") + PROXY_PATTERNS[0][0] + target + PROXY_PATTERNS[0][1]
    )
    code = READER.of_init(init)
    assert len(code.runtime) == 45
    assert code.target == target
    for head, tail in PROXY_PATTERNS:
        assert proxy_target(head + target + tail) == target
        assert proxy_target(head + target + tail + b"\0") is None


@pytest.mark.parametrize(
    "init", [b"", b"\x00", b"\xff" * 500, b"\x61\xff", b"\x39" * 90, bytes(70_000)]
)
def test_an_odd_constructor_stands_for_its_code_and_says_so(init: bytes) -> None:
    """Where nothing is returned, the init code itself is read, under a flag."""
    code = READER.of_init(init)
    assert "unread constructor" in code.flags
    assert init.startswith(code.runtime)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    """No bytes crash the reader, and equal bytes give an equal reading."""
    for read in (READER.of_init, READER.of_runtime):
        code, again = read(data), CodeReader().of_runtime(data)
        assert np.all(np.diff(code.features.astype(int)) > 0)
        assert not len(code.features) or int(code.features[-1]) < FEATURES
        assert code.opcodes == sum(1 for _ in opcodes_of(code.runtime))
        grams = {gram_bucket(gram) for gram in grams_of(code.runtime)}
        assert set(code.features[code.features < GRAMS].tolist()) == grams
        if read == READER.of_runtime:
            assert again.digest == code.digest
            assert np.array_equal(again.features, code.features)


@given(st.sets(st.integers(0, FEATURES - 1)))
def test_packed_features_are_the_same_and_bounded(features: set[int]) -> None:
    """Packing loses nothing and takes at most a bit a feature and a byte."""
    row = np.array(sorted(features), np.uint16)
    data = pack_features(row)
    assert np.array_equal(unpack_features(data), row)
    assert len(data) <= PACKED_BYTES + 1


def test_constants_make_no_other_code_and_opcodes_do() -> None:
    """Other embedded addresses give the same digest and grams; one more opcode another digest."""
    head, tail = program(2, 200), program(3, 200)
    first, second = (READER.of_runtime(head + b"\x73" + wallet(n) + tail) for n in (1, 2))
    assert first.digest == second.digest
    assert np.array_equal(first.features, second.features)
    assert (first.addresses, second.addresses) == ((wallet(1),), (wallet(2),))
    third = READER.of_runtime(head + b"\x73" + wallet(1) + b"\x5b" + tail)
    assert third.digest != first.digest


def test_masks_and_small_numbers_are_no_addresses() -> None:
    """2^160-1 and what begins with eight zero bytes are not what a contract talks to."""
    masks = b"\x73" + b"\xff" * 20 + b"\x73" + bytes(19) + b"\x04"
    assert READER.of_runtime(masks + b"\x73" + wallet(5)).addresses == (wallet(5),)
    many = b"".join(b"\x73" + wallet(n) for n in range(60))
    assert len(READER.of_runtime(many).addresses) == 16


@pytest.mark.parametrize("selector", sorted(FLASH_CALLBACKS))
def test_flash_callbacks_are_seen(selector: int) -> None:
    """Who answers to a lender's callback has the flag, and its name is told; who calls it, as a
    lender does, has not."""
    push = b"\x63" + selector.to_bytes(4, "big")
    for compare in (b"\x14", b"\x81\x14", b"\x81\x18"):
        code = READER.of_runtime(b"\x80" + push + compare + b"\x61\x01\x00\x57" + program(4))
        assert "flash-loan callback" in code.flags
        assert code.flash_callbacks == (FLASH_CALLBACKS[selector],)
    lender = READER.of_runtime(push + b"\x60\xe0\x1b\x52" + program(4))
    assert lender.selectors == (selector,)
    assert "flash-loan callback" not in lender.flags
    assert lender.flash_callbacks == ()


def test_flags_say_what_is_there() -> None:
    """SELFDESTRUCT, DELEGATECALL, comparisons of ORIGIN, and the metamorphic prefix."""
    assert READER.of_runtime(b"\x33\xff").flags >= {"SELFDESTRUCT", "no metadata"}
    assert "DELEGATECALL" in READER.of_runtime(b"\x5a\xf4\x50").flags
    assert "ORIGIN compared" in READER.of_runtime(b"\x33\x32\x14").flags
    assert "ORIGIN compared" not in READER.of_runtime(b"\x33\x32\x50\x01\x01\x14").flags
    assert "ORIGIN compared" not in READER.of_runtime(b"\x60\x32\x14").flags  # an operand
    assert "metamorphic prefix" in READER.of_init(METAMORPHIC_PREFIX + b"\x01").flags
    sizes = [READER.of_runtime(b"\x5b" * n).flags for n in (1, 1023, 1024, 24_576)]
    told = [sorted(f for f in flags if f.startswith("size"))[0] for flags in sizes]
    assert told == [
        "size 1 to 1 bytes", "size 512 to 1023 bytes", "size 1024 to 2047 bytes",
        "size 16384 to 32767 bytes",
    ]  # fmt: skip


def test_metadata_is_no_code() -> None:
    """The hash of the sources, which differs between equal contracts, is cut off."""
    body = program(6)
    cbor = (
        bytes.fromhex("a2646970667358221220") + wallet(1) + wallet(2)[:12] + b"dsolcC\x00\x08\x14"
    )
    tail = cbor + len(cbor).to_bytes(2, "big")
    assert without_metadata(body + tail) == body
    code = READER.of_runtime(body + tail)
    assert code.runtime == body
    assert "no metadata" not in code.flags


def test_a_bucket_is_named_by_what_this_code_has_in_it() -> None:
    """Of all that may fall into a bucket, the explanation names this code's own grams."""
    code = READER.of_runtime(b"\x63\x23\xe3\x0c\x8b" + program(7))
    for feature in code.features.tolist():
        name = feature_name(feature, code)
        if feature >= GRAMS + SELECTORS:
            assert name in FLAGS
        elif feature >= GRAMS:
            assert name == "selector 0x23e30c8b"
        else:
            shown = name.removesuffix(" / …").split(" / ")
            own = {gram_name(g) for g in grams_of(code.runtime) if gram_bucket(g) == feature}
            assert set(shown) <= own
            assert len(shown) == min(2, len(own))


def test_sketches_estimate_jaccard_similarity() -> None:
    """Over many pairs of all similarities, agreement is off by less than 0.03 in the mean and by
    what 128 places allow in each."""
    rng, errors = np.random.default_rng(1), []
    for _ in range(300):
        size, shared = int(rng.integers(20, 900)), float(rng.random())
        pool = rng.permutation(GRAMS)[: 2 * size]
        common = pool[: int(size * shared)]
        parts = pool[int(size * shared) : size], pool[size : 2 * size - len(common)]
        a, b = (np.sort(np.concatenate([common, part])).astype(np.uint16) for part in parts)
        mine, other = sketch_of(a), sketch_of(b)
        assert mine is not None
        assert other is not None
        truth = len(set(a.tolist()) & set(b.tolist())) / len(set(a.tolist()) | set(b.tolist()))
        assert jaccard(a, b) == pytest.approx(truth)
        errors.append(np.mean(mine == other) - truth)
        assert abs(errors[-1]) < 0.25
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.06
    assert sketch_of(np.array([GRAMS], np.uint16)) is None
    assert sketch_of(np.array([3], np.uint16)) is not None
    assert SKETCH == 128


def test_the_largest_code_is_read_in_milliseconds() -> None:
    """49,152 bytes of anything cost less than 10 ms."""
    for data in (bytes(60_000), b"\x73" * 60_000, random.Random(1).randbytes(60_000)):
        spent = []
        for _ in range(5):
            began = time.process_time()
            READER.of_init(data)
            spent.append(time.process_time() - began)
        assert min(spent) < 0.01


@pytest.mark.data
def test_real_constructors_give_up_what_they_deploy(shared_data: Path) -> None:
    """Of 34 creations on mainnet from 2015 to 2026, all but one that deploys nothing are read; the
    end is exact, for there the compiler's metadata ends."""
    read = 0
    for name in ("run", "forks"):
        for raw in JsonlSource(
            shared_data / "blocks" / f"{name}.blocks.jsonl.gz", ETHEREUM
        ).blocks():
            assert not isinstance(raw, BadBlock)
            batch = decode_blocks(ETHEREUM, [raw], [True])
            for row in batch.creations.to_pylist():
                if not row["init_code"]:
                    continue
                code = READER.of_init(row["init_code"])
                read += 1
                if row["contract_address"] == at("0x93d9fd507a93e7d6bbea9d92b90cf5bdfe4a63f7"):
                    assert "unread constructor" in code.flags
                    continue
                assert "unread constructor" not in code.flags
                assert code.runtime[:1] == b"\x60"
                assert ("no metadata" in code.flags) == (row["block_number"] < 3_000_000)
    assert read == 34


@pytest.mark.data
def test_real_contracts_differ_more_than_their_copies(shared_data: Path) -> None:
    """978 real contracts are 951 codes without metadata; all have features, and a digest each."""
    table = pq.read_table(shared_data / "contracts" / "ponzi.parquet")
    texts = table["runtime_bytecode"].to_pylist()
    codes = [READER.of_runtime(bytes.fromhex(text.removeprefix("0x"))) for text in texts]
    assert len({code.runtime for code in codes}) == 951
    assert len({code.digest for code in codes}) < 951
    assert all(len(code.features) > 3 for code in codes)
