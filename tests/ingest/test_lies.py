"""Every way in which nodes lie, over a thousand blocks that are followed live."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from tests.figures import Tell
from tests.rigs.course import BLOCKS, QUICK, Accept, Course, Told, follow, generated
from tests.rigs.liar import Asked, Liar
from tests.rigs.lies import MODES

# A head that stands is looked for elsewhere after a moment, in the same proportion as all else.
SEVERAL = replace(QUICK, stale_head_seconds=0.05)

FINALITY = ("eth_getBlockByNumber", "finalized")


@pytest.fixture(scope="module")
def raws() -> list[RawBlock]:
    """A thousand blocks and the branches that lost, in order of arrival."""
    return generated()


@pytest.fixture(scope="module")
def accept() -> Accept:
    """Verifies for real, whoever told; what it decoded it knows again."""
    return Accept(ETHEREUM)


@pytest.fixture(scope="module")
def truth(raws: list[RawBlock], accept: Accept) -> Told:
    """What comes out of following an honest node."""
    course = Course(raws)
    with Liar(course.recording) as node, RpcSource([course.joined(node).url], config=QUICK) as one:
        one.connect()
        told = follow(course, one, accept)
        assert one.stats.retries == one.stats.failed == 0
    assert len(told.chain) == BLOCKS
    assert told.reverted >= 5
    return told


@dataclass
class Trial:
    """A course that was followed past one liar: what came out, and what the liar did."""

    told: Told
    liar: Liar
    source: RpcSource
    unnoticed: list[Asked]


def trial(
    raws: list[RawBlock], accept: Accept, name: str, config: RpcConfig = SEVERAL, seed: int = 1
) -> Trial:
    """Follow a thousand blocks past a liar, which is asked first."""
    mode, course = MODES[name], Course(raws)
    with ExitStack() as stack:
        nodes = [
            course.joined(stack.enter_context(Liar(course.recording)))
            for _ in range(1 if mode.alone else 2)
        ]
        source = stack.enter_context(RpcSource([each.url for each in nodes], config=config))
        source.connect()
        mode.lie(random.Random(f"{name} {seed}"), nodes[0])
        told = follow(course, source, accept)
    return Trial(told, nodes[0], source, unnoticed(nodes[0].lies, nodes))


def unnoticed(lies: Sequence[Asked], nodes: Sequence[Liar]) -> list[Asked]:
    """The lies after which nobody was asked the same again.

    Nonsense may pass for "nothing is final yet", which is true enough until finality is asked for
    the next time: the last question about it has no next time.
    """
    last: dict[tuple[str, str], float] = {}
    for node in nodes:
        for time, method, params in node.asked:
            key = subject(node, method, params)
            last[key] = max(time, last.get(key, 0.0))
    return [
        lie
        for lie in lies
        if (key := subject(nodes[0], *lie[1:])) != FINALITY and last[key] <= lie[0]
    ]


def subject(node: Liar, method: str, params: list[Any]) -> tuple[str, str]:
    """What a question is about: a block, its receipts (one of them is a part), or something else.

    A block that was asked for by number may be asked for by its hash the next time.
    """
    first, known = str(params[0] if params else ""), node.recording
    match method:
        case "eth_getTransactionReceipt":
            return "eth_getBlockReceipts", str(known.receipt(first)["blockHash"])
        case "eth_getBlockByHash" if first in known.by_hash:
            return "eth_getBlockByNumber", str(known.by_hash[first]["number"])
    return method, first


def one_a_block(lies: Sequence[Asked]) -> bool:
    """Whether no block was lied about twice in one answer: in itself and in its receipts."""
    return len({method == "eth_getBlockReceipts" for _, method, _ in lies}) == 1


@pytest.mark.parametrize("name", MODES)
def test_no_lie_gets_through(
    raws: list[RawBlock], accept: Accept, truth: Told, name: str, tell: Tell
) -> None:
    """A thousand blocks past a liar are those of an honest node: none lost, wrong or taken back.

    Every lie is noticed: what was lied about is asked again.
    """
    mode, tried = MODES[name], trial(raws, accept, name)
    stats, lies = tried.source.stats, tried.liar.lies
    print(f"{stats}, unnoticed: {tried.unnoticed}")
    assert tried.told.steps == truth.steps
    assert tried.told.same_content(truth)
    assert tried.told.final == sorted(tried.told.final, key=lambda each: each.number)
    assert len(lies) >= 50
    if mode.harmless:
        assert stats.rejected == {}
    elif not mode.unsure:
        assert tried.unnoticed == []
        assert stats.rejected.total() + stats.not_yet + stats.failed > 0
    if stats.rejected and not mode.unsure and one_a_block(lies):
        assert stats.rejected.total() + stats.not_yet == len(lies)
    noticed = "harmless" if mode.harmless else f"{len(lies) - len(tried.unnoticed)} noticed"
    if mode.unsure:
        noticed += ", the others harmless"
    tell(f"{mode.fault} {name}: {len(lies)} lies over {BLOCKS} blocks, {noticed}, 0 believed")
