"""A simulated chain, read back from its blocks and receipts alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.raw import RawBlock, RpcLog, RpcReceipt, RpcTransaction
from ingest.simulate import Campaign, Simulation, SimulationConfig, Truth
from ingest.simulate.contracts import Event


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction with its receipt and its block."""

    transaction: RpcTransaction
    receipt: RpcReceipt
    number: int
    timestamp: int

    @property
    def sender(self) -> str:
        """Who signed it."""
        return self.transaction.from_

    @property
    def to(self) -> str | None:
        """Whom it calls; None creates a contract."""
        return self.transaction.to

    @property
    def value(self) -> int:
        """Wei sent."""
        return int(self.transaction.value, 16)

    @property
    def selector(self) -> str:
        """The first four bytes of its calldata, as hex digits."""
        return self.transaction.input[2:10]

    @property
    def logs(self) -> list[RpcLog]:
        """Its logs."""
        return self.receipt.logs

    @property
    def succeeded(self) -> bool:
        """Whether it did not revert."""
        return self.receipt.status == "0x1"

    def word(self, index: int) -> str:
        """The 32-byte word of the calldata at that place, as hex digits."""
        start = 10 + 64 * index
        return self.transaction.input[start : start + 64]


@dataclass(frozen=True, slots=True)
class Transfer:
    """An ERC-20 or ERC-721 transfer out of a log."""

    token: str
    source: str
    target: str
    amount: int
    item: int | None


@dataclass(slots=True)
class Run:
    """All blocks of a simulation in order of arrival, and what they say."""

    config: SimulationConfig
    blocks: list[RawBlock]
    truth: Truth
    canonical: list[RawBlock] = field(default_factory=list)
    mined: dict[str, Mined] = field(default_factory=dict)  # on the winning chain
    orphaned: dict[str, Mined] = field(default_factory=dict)  # on a losing branch

    def campaigns(self, typology: str) -> list[Campaign]:
        """The campaigns of one kind."""
        return [c for c in self.truth.campaigns if c.typology == typology]

    def of(self, campaign: Campaign) -> list[Mined]:
        """The transactions of a campaign, in chain order."""
        found = [self.mined[h] for h in campaign.transactions]
        return sorted(found, key=lambda m: (m.number, int(m.receipt.transaction_index or "0", 16)))

    def benign(self) -> Iterator[Mined]:
        """The transactions that belong to no campaign."""
        attacks = {h for c in self.truth.campaigns for h in c.transactions}
        return (m for h, m in self.mined.items() if h not in attacks)


def run(config: SimulationConfig) -> Run:
    """Simulate, and find the winning chain by walking back from the last block."""
    simulation = Simulation(config)
    blocks = list(simulation.blocks())
    result = Run(config, blocks, simulation.truth())
    by_hash = {raw.block.hash: raw for raw in blocks}
    raw: RawBlock | None = blocks[-1]
    while raw is not None:
        result.canonical.append(raw)
        raw = by_hash.get(raw.block.parent_hash)
    result.canonical.reverse()
    winners = {raw.block.hash for raw in result.canonical}
    for raw in blocks:
        table = result.mined if raw.block.hash in winners else result.orphaned
        for transaction, receipt in zip(raw.block.transactions, raw.receipts or [], strict=True):
            table[transaction.hash] = Mined(
                transaction, receipt, int(raw.block.number, 16), int(raw.block.timestamp, 16)
            )
    return result


def account(topic: str) -> str:
    """The address in a topic or an ABI word, as ``0x…`` text."""
    return "0x" + topic[-40:]


def transfers(mined: Mined) -> list[Transfer]:
    """The transfers a transaction logs."""
    found = []
    for log in mined.logs:
        if log.topics[0] == text(Event.TRANSFER):
            item = int(log.topics[3], 16) if len(log.topics) == 4 else None
            amount = 1 if item is not None else int(log.data, 16)
            source, target = account(log.topics[1]), account(log.topics[2])
            found.append(Transfer(log.address, source, target, amount, item))
    return found


def logs_of(mined: Mined, topic0: bytes) -> list[RpcLog]:
    """The logs of a transaction with that topic0."""
    return [log for log in mined.logs if log.topics[0] == text(topic0)]


def text(data: bytes) -> str:
    """``0x…`` text of bytes."""
    return "0x" + data.hex()
