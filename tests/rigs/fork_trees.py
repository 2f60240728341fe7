"""Trees of blocks, as a node that changes its mind shows them: by seed, and all of it replayable.

A ``Wood`` grows one tree after another, each on the block that the one before it ended with. Every
tree has a few branches off random blocks of it, of up to ``deepest`` blocks, and an order in which
their blocks are shown as the head: the node jumps between branches, goes back, shows an old head
again, skips what lies between. The last head is the tip of the branch that wins.

What the blocks hold comes out of one pool a tree, so that a transaction is on several branches, in
different blocks: all six transaction types, payments, transfers, approvals, creations, delegations,
and enough foul play that several rules alert.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from chainwarden.errors import MissingAncestor
from chainwarden.schema import BlockBatch, BlocksAdded, ChainEvent, Label, Position
from detect.known.tokens import USDC, USDT
from ingest.chain import ChainFollower
from tests.detect.build import ETHER, START, Block, Build, Tx, uint, word

FIRST: Final = 18_000_000
SANCTIONED: Final = tuple(hashlib.sha256(b"listed %d" % i).digest()[:20] for i in range(8))
LABELS: Final = tuple(Label(one, "sanctioned", "ofac") for one in SANCTIONED)
WALLETS: Final = 40  # that pay one another, whatever the tree
DEPOSIT: Final = 0x7E


@dataclass(frozen=True, slots=True)
class Node:
    """A block of a tree: where it is, on what, at what time, and what it holds."""

    position: Position
    parent: bytes
    time: int
    txs: tuple[Tx, ...]

    def batch(self) -> BlockBatch:
        """The block as a follower takes it."""
        header = {"block_hash": self.position.hash, "parent_hash": self.parent}
        build = Build(number=self.position.number, time=self.time)
        withdrawals = [(self.position.hash[:20], 10**16)] if self.position.hash[0] < 32 else []
        return build.batch(Block(list(self.txs), withdrawals=withdrawals, header=header)).batch


@dataclass(slots=True)
class Tree:
    """Blocks by hash, the heads in the order they are shown, and the branch that wins."""

    root: Node
    nodes: dict[bytes, Node] = field(default_factory=dict)
    heads: list[Node] = field(default_factory=list)

    def path(self, tip: Node) -> list[Node]:
        """The blocks above the root up to ``tip``."""
        nodes = []
        while tip is not self.root:
            nodes.append(tip)
            tip = self.nodes.get(tip.parent, self.root)
        return nodes[::-1]

    @property
    def winning(self) -> list[Node]:
        """The chain at the end, above the root."""
        return self.path(self.heads[-1])

    def won(self) -> list[ChainEvent]:
        """The winning chain above the root, as one event: what a node without forks would show."""
        return [BlocksAdded(BlockBatch.concat([node.batch() for node in self.winning]))]


class Wood:
    """Grows trees, one on the other; the same seed grows the same ones."""

    def __init__(self, seed: int, deepest: int = 64) -> None:
        self.deepest = deepest
        self._seed = seed
        self._rng = random.Random(f"wood {seed}")
        self._grown = 0
        self.tip = Node(Position(FIRST, self._hash("genesis")), bytes(32), START, ())

    def tree(self, depth: int | None = None) -> Tree:
        """The next tree; with ``depth`` its longest branches are that deep."""
        rng, tree = self._rng, Tree(self.tip)
        self._grown += 1
        pool = list(_pool(rng, self._seed, self._grown))
        depth = depth or self._depth()
        tips = [self._branch(tree, tree.root, rng.randint(max(1, depth - 2), depth), pool)]
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            tips.append(self._fork(tree, rng.choice(tips), depth, pool))
        tree.heads = self._shown(tree, tips)
        self.tip = tree.heads[-1]
        return tree

    def rivals(self, depth: int) -> Tree:
        """The next tree, of two branches of ``depth`` blocks; the second one wins."""
        tree = Tree(self.tip)
        pool: list[Tx] = []
        for _ in range(1 + depth // 20):
            self._grown += 1
            pool += _pool(self._rng, self._seed, self._grown)
        tree.heads = [self._branch(tree, tree.root, depth, pool) for _ in range(2)]
        self.tip = tree.heads[-1]
        return tree

    def _depth(self) -> int:
        # Most forks are short, as on any chain; one tree in thirty reaches down as far as may be.
        draw = self._rng.random()
        if draw < 0.8:
            return self._rng.randint(1, 4)
        return self._rng.randint(5, 12) if draw < 0.97 else self._rng.randint(13, self.deepest)

    def _fork(self, tree: Tree, tip: Node, depth: int, pool: list[Tx]) -> Node:
        """A branch off some block of the path to ``tip``, about as high as that or higher."""
        path = [tree.root, *tree.path(tip)]
        base = path[self._rng.randrange(len(path) - 1)] if depth > 1 else tree.root
        height = base.position.number - tree.root.position.number
        length = max(1, self._rng.randint(depth - 1, depth) - height)
        return self._branch(tree, base, length, pool)

    def _branch(self, tree: Tree, base: Node, length: int, pool: list[Tx]) -> Node:
        """``length`` blocks on ``base``: some of the pool, in an order of their own."""
        rng, name = self._rng, f"{self._grown}/{len(tree.nodes)}"
        taken = {tx.hash() for node in tree.path(base) for tx in node.txs}
        rest = [tx for tx in pool if tx.hash() not in taken and rng.random() < 0.8]
        if rng.random() < 0.3:
            rng.shuffle(rest)
        cuts = sorted(rng.randint(0, len(rest)) for _ in range(length - 1))
        for start, stop in zip([0, *cuts], [*cuts, len(rest)], strict=True):
            number = base.position.number + 1
            base = Node(
                Position(number, self._hash(f"{name}/{number}")),
                base.position.hash,
                base.time + 12,
                tuple(rest[start:stop]),
            )
            tree.nodes[base.position.hash] = base
        return base

    def _shown(self, tree: Tree, tips: list[Node]) -> list[Node]:
        """Heads: tips and blocks below them, again and again, and the winner's tip at the end."""
        rng, heads = self._rng, []
        for tip in tips:
            path = tree.path(tip)
            heads += sorted(rng.sample(path, min(len(path), 2)), key=lambda n: n.position.number)
        for _ in range(rng.choice((0, 0, 1, 2))):
            heads.append(rng.choice(tips))  # back to a branch that was left
        if rng.random() < 0.3:
            heads.append(rng.choice(list(tree.nodes.values())))  # any block at all
        # The winner is as long as any: a node prefers no shorter branch in the end.
        longest = max(tip.position.number for tip in tips)
        return [*heads, rng.choice([tip for tip in tips if tip.position.number == longest])]

    def _hash(self, name: str) -> bytes:
        return hashlib.sha256(f"{self._seed}/{name}".encode()).digest()


def claim(follower: ChainFollower, tree: Tree, head: Node) -> Iterator[ChainEvent]:
    """What showing a head does: its ancestors are fetched by hash as far as they are missing."""
    pending = [head]
    while pending:
        try:
            events = follower.add(pending[-1].batch())
        except MissingAncestor as missing:
            pending.append(tree.nodes[missing.parent_hash])
        else:
            pending.pop()
            yield from events


def together(events: Iterator[ChainEvent]) -> Iterator[ChainEvent]:
    """The events with blocks that follow one another in one batch, as a bus delivers them."""
    run: list[BlockBatch] = []
    for event in events:
        if isinstance(event, BlocksAdded) and not event.gap:
            run.append(event.batch)
            continue
        if run:
            yield BlocksAdded(BlockBatch.concat(run))
            run = []
        yield event
    if run:
        yield BlocksAdded(BlockBatch.concat(run))


# --- what is in the blocks ---------------------------------------------------------------------


def _pool(rng: random.Random, seed: int, number: int) -> Iterator[Tx]:
    """The transactions of one tree: some ordinary ones and one or two stories."""

    def fresh(name: str) -> bytes:
        return hashlib.sha256(f"{seed}/{number}/{name}".encode()).digest()[:20]

    for place in range(rng.randint(1, 4)):
        yield _ordinary(rng, number * 16 + place)
    for story in rng.sample(_STORIES, rng.randint(1, 2)):
        yield from story(rng, fresh)


def _ordinary(rng: random.Random, salt: int) -> Tx:
    sender, other = (_wallet(rng.randrange(WALLETS)) for _ in range(2))
    value = rng.choice((0, 1, ETHER // 3, ETHER, 40 * ETHER))
    tx = Tx(sender, other, value, salt=salt, nonce=salt, type=rng.choice((0, 1, 2, 3, DEPOSIT)))
    match rng.randrange(6):
        case 0:
            tx.tokens = [(USDC, sender, other, rng.choice((0, 10**6, 10**11)))]
        case 1:
            tx.status = 0
        case 2:
            tx.to, tx.creates, tx.data = None, _wallet(10_000 + salt), bytes.fromhex("600a600c")
        case 3:
            tx.type = 4
            tx.authorizations = [{"authority": other, "delegate": _wallet(90), "nonce": salt}]
        case 4:
            tx.internal = [(other, _wallet(rng.randrange(WALLETS)), ETHER)]
    return tx


def _wallet(number: int) -> bytes:
    return hashlib.sha256(b"resident %d" % number).digest()[:20]


Fresh = Callable[[str], bytes]


def _touched(rng: random.Random, fresh: Fresh) -> Iterator[Tx]:
    """Somebody pays a wallet under sanction."""
    yield Tx(fresh("payer"), rng.choice(SANCTIONED), 3 * ETHER, nonce=1, type=2)


def _taken_over(_rng: random.Random, fresh: Fresh) -> Iterator[Tx]:
    """A Safe delegates to foreign code."""
    head = [word(fresh("code")), uint(0), uint(320), uint(1), *[uint(0)] * 5, uint(352)]
    data = bytes.fromhex("6a761202") + b"".join(head) + uint(0) + uint(0)
    yield Tx(fresh("owner"), fresh("safe"), data=data, nonce=1, receipt=False, type=2)


def _split(_rng: random.Random, fresh: Fresh) -> Iterator[Tx]:
    """A kit shares out what three victims lose."""
    for place in range(3):
        loss, victim = (900 + place) * 10**6, fresh(f"victim {place}")
        parts = [
            (USDC, victim, fresh("operator"), loss // 5),
            (USDC, victim, fresh("phisher"), loss - loss // 5),
        ]
        yield Tx(fresh("bot"), fresh("kit"), tokens=parts, nonce=place, type=1)


def _fished(_rng: random.Random, fresh: Fresh) -> Iterator[Tx]:
    """Four owners approve all they have to one wallet, and one is robbed."""
    spender = fresh("drainer")
    yield Tx(spender, fresh("friend"), ETHER, nonce=1, type=0)
    for place in range(4):
        owner = fresh(f"owner {place}")
        given = {"token_address": USDC, "owner": owner, "spender": spender, "value": 2**256 - 1}
        yield Tx(owner, USDC, approvals=[given], nonce=place, type=2)
    moved = [(USDC, fresh("owner 0"), fresh("sink"), 900 * 10**6)]
    yield Tx(spender, USDC, tokens=moved, nonce=2, type=2)


def _poisoned(_rng: random.Random, fresh: Fresh) -> Iterator[Tx]:
    """A lookalike of a peer is planted, and paid."""
    victim, peer, operator = fresh("victim"), fresh("peer"), fresh("operator")
    lookalike = peer[:3] + fresh("middle")[3:17] + peer[17:]
    paid = 500 * 10**6
    yield Tx(victim, USDT, tokens=[(USDT, victim, peer, paid)], nonce=0, type=2)
    yield Tx(operator, fresh("lure"), tokens=[(USDC, victim, lookalike, 0)], nonce=0, type=0)
    yield Tx(victim, USDT, tokens=[(USDT, victim, lookalike, paid)], nonce=1, type=2)


_STORIES: Final = (_touched, _taken_over, _split, _fished, _poisoned)
