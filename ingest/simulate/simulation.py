"""The simulation: a world lives, campaigns run through it, blocks come out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chainwarden.errors import SettingsError
from chainwarden.schema import ETHEREUM, Chain
from ingest.codec import keccak
from ingest.raw import RawBlock
from ingest.simulate import campaigns
from ingest.simulate.campaigns.malicious_deployment import precedents
from ingest.simulate.chain import GENESIS_SECONDS, SLOT_SECONDS, Sealer, Tip
from ingest.simulate.contracts import ETHER, GWEI
from ingest.simulate.draft import Draft, Room, Script, Wallet
from ingest.simulate.forks import MISSED_RATE, Fork, draw_fate
from ingest.simulate.labels import labels_of
from ingest.simulate.signing import Signed, sign
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay
from ingest.simulate.traffic import Traffic
from ingest.simulate.truth import Record, Truth
from ingest.simulate.world import Moment, World

FIRST_BLOCK: Final = 22_600_000
USUAL_BASE_FEE: Final = 3 * GWEI
MEAN_GAS: Final = 57_000  # of a transaction of this traffic
LONGEST_SPAN: Final = 3_000  # blocks: within a day, so that cash-outs come within 24 hours


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What is simulated; the same config gives the same blocks, byte for byte.

    ``blocks`` is the length of the winning chain; orphaned blocks come on top.
    ``transactions_per_block`` is the mean. ``campaigns`` are names out of
    ``ingest.simulate.campaigns.ALL``; their number grows with the run, and at least about 300
    blocks are needed for every one to run to its end. ``start_time`` is in seconds since 1970.
    Raises SettingsError for what cannot be simulated.
    """

    seed: int = 1
    blocks: int = 3_000
    transactions_per_block: float = 36.0
    campaigns: tuple[str, ...] = campaigns.ALL
    chain: Chain = ETHEREUM
    start_time: int = 1_748_865_600

    def __post_init__(self) -> None:
        unknown = sorted(set(self.campaigns) - set(campaigns.ALL))
        if unknown:
            raise SettingsError(
                f"no such campaign: {', '.join(unknown)}",
                hint=f"there are {', '.join(campaigns.ALL)}",
            )
        if self.blocks < 1 or self.transactions_per_block <= 0:
            raise SettingsError("blocks and transactions per block must be positive")
        if self.start_time < GENESIS_SECONDS:
            raise SettingsError("start_time is before the beacon chain's first slot, in 2020")


class Simulation:
    """A seeded, labelled chain as a BlockSource.

    Every call of ``blocks`` runs the simulation from its beginning, streaming; memory is bounded
    by the population and the campaigns, not by the length of the run. Blocks come in the order in
    which a node would have called them its head: those of a losing branch first, then the winning
    branch from the block after their common parent.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.chain = config.chain
        self._truth: Truth | None = None

    def blocks(self) -> Iterator[RawBlock]:
        """Every block, orphaned ones included."""
        self._truth = None
        run = _Run(self.config)
        yield from run.blocks()
        self._truth = run.truth()

    def truth(self) -> Truth:
        """The campaigns of the last run. Raises RuntimeError before ``blocks`` is exhausted."""
        if self._truth is None:
            raise RuntimeError("the truth is known when all blocks have been read")
        return self._truth

    def labels(self) -> list[tuple[str, ...]]:
        """The rows of the label list that an analyst would have loaded before the run."""
        return labels_of(_world(self.config), self.chain, self.config.start_time)


def _world(config: SimulationConfig) -> World:
    transactions = config.blocks * config.transactions_per_block
    return World(config.seed, users=int(min(60_000, max(400, transactions / 5))))


def _marked(script: Script, record: Record) -> Script:
    """The script, which says on its record when it has come to its end."""
    yield from script
    record.ended = True


class _Run:
    """One run of a simulation."""

    def __init__(self, config: SimulationConfig) -> None:
        self._config = config
        self._world = _world(config)
        self._rng = random.Random(f"run {config.seed}")
        self._traffic = Traffic(self._world, config.transactions_per_block)
        limit = max(3_000_000, int(2 * MEAN_GAS * config.transactions_per_block))
        self._sealer = Sealer(config.chain, config.seed, limit)
        slot = (config.start_time - GENESIS_SECONDS) // SLOT_SECONDS
        self._tip = Tip(
            number=FIRST_BLOCK - 1,
            hash="0x" + keccak(b"before %d" % config.seed).hex(),
            timestamp=GENESIS_SECONDS + slot * SLOT_SECONDS,
            gas_used=limit // 2,
            base_fee=USUAL_BASE_FEE,
            blob_gas_used=0,
            excess_blob_gas=0,
            withdrawals=90_000_000,
        )
        self._waiting: list[Signed] = []  # signed, and did not fit the last block
        self._body: list[Signed] = []
        self._gas = 0
        self._records: list[Record] = []
        self._double_spenders: dict[str, Wallet] = {}
        self._world.now = Moment(FIRST_BLOCK, self._tip.timestamp, USUAL_BASE_FEE)
        self._fate = draw_fate(config.seed, config.blocks, FIRST_BLOCK, config.campaigns)
        self._plan()

    def blocks(self) -> Iterator[RawBlock]:
        """The blocks in order of arrival."""
        index = 0
        while index < self._config.blocks:
            fork = self._fate.forks.get(index)
            if fork is None:
                yield self._extend(self._slots_until_next(index))
                index += 1
            else:
                yield from self._fork(fork)
                index += fork.depth + 1

    def truth(self) -> Truth:
        """What happened, in order of the ids."""
        # A payment that did not fit the losing block was never replaced: no double spend.
        spent_once = [r for r in self._double_spenders if not self._replaced_in(r)]
        records = (r for r in (*self._records, *self._fate.records) if r.id not in spent_once)
        ended = [record.finished() for record in records]
        return Truth(tuple(sorted(filter(None, ended), key=lambda c: (c.typology, c.id))))

    def _replaced_in(self, identity: str) -> bool:
        found = next(r for r in self._fate.records if r.id == identity)
        return "own_address" in found.roles

    # --- campaigns ------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Put every campaign on the agenda, spread over the run so that it can end within it."""
        config = self._config
        usual = campaigns.instances(int(config.blocks * config.transactions_per_block))
        span = min(LONGEST_SPAN, config.blocks * 3 // 10)
        latest = max(1, config.blocks - span * 11 // 10)
        rare = campaigns.rare_instances(config.blocks)
        for name, kind in (campaigns.SCRIPTED | campaigns.RARE).items():
            if name not in config.campaigns:
                continue
            count = usual if name in campaigns.SCRIPTED else rare
            for variant in range(count):
                rng = random.Random(f"{name} {config.seed} {variant}")
                record = Record(f"{name}-{variant + 1}", name, kind.note)
                self._records.append(record)
                stage = Stage(self._world, record, rng, span, variant)
                # One after the other through the run, each somewhere in its part of it.
                start = int((variant + rng.random()) / count * latest)
                if name in campaigns.RARE:
                    start = (start + latest) // 2  # when it is known what the chain is like
                self._world.start(_marked(kind.script(stage), record), start)
        if "malicious_deployment" in config.campaigns:
            self._world.start(precedents(self._world), 1)
        for index, fork in self._fate.forks.items():
            if fork.double_spend is not None:
                self._world.start(self._fund_double_spend(fork.double_spend), index - 30)

    def _fund_double_spend(self, record: Record) -> Script:
        """Who will spend twice begins like any newcomer."""
        wallet = self._world.fresh()
        record.involve("attacker", wallet.address)
        yield self._world.withdrawal(wallet, 30 * ETHER)
        self._double_spenders[record.id] = wallet

    # --- blocks ---------------------------------------------------------------------------------

    def _slots_until_next(self, index: int) -> int:
        slots = 1 + self._fate.missed.get(index, 0)
        while self._rng.random() < MISSED_RATE:
            slots += 1
        return slots

    def _extend(self, slots: int, first: Sequence[Draft] = ()) -> RawBlock:
        """Compose and seal the next block, that many slots after the head."""
        timestamp = self._tip.timestamp + slots * SLOT_SECONDS
        self._compose(timestamp, first)
        return self._seal(timestamp, self._body)

    def _seal(self, timestamp: int, body: list[Signed]) -> RawBlock:
        captured = self._fate.captured <= self._tip.number + 1 - FIRST_BLOCK
        raw, self._tip = self._sealer.seal(self._tip, timestamp, body, captured)
        for signed in body:
            if signed.draft.record is not None:
                signed.draft.record.landed(signed.hash, self._tip.number)
        return raw

    def _compose(self, timestamp: int, first: Iterable[Draft]) -> None:
        """Fill the next block: what waited, then benign traffic with the due scripts among it."""
        world, limit = self._world, self._sealer.gas_limit
        base_fee = self._tip.next_base_fee(limit)
        world.now = Moment(self._tip.number + 1, timestamp, base_fee)
        waiting, self._waiting, self._body, self._gas = self._waiting, [], [], 0
        for signed in waiting:
            self._place(signed)
        for draft in first:
            self._add(draft)
        demand = self._traffic.demand(USUAL_BASE_FEE)
        turns = sorted(
            ((self._rng.randrange(demand + 1), script) for script in world.due()),
            key=lambda turn: turn[0],
        )
        turn = 0
        for position in range(demand + 1):
            while turn < len(turns) and turns[turn][0] == position:
                self._advance(turns[turn][1])
                turn += 1
            if position < demand and self._gas < limit * 19 // 20:
                for draft in self._traffic.next():
                    self._add(draft)

    def _advance(self, script: Script) -> None:
        """Run a script up to its next pause."""
        for step in script:
            if isinstance(step, Draft):
                self._add(step)
            elif isinstance(step, Room):
                if self._waiting or self._gas + step.gas > self._sealer.gas_limit:
                    self._world.start(itertools.chain([step], script), 1)
                    return
            elif step.blocks > 0:
                self._world.start(script, step.blocks)
                return

    def _add(self, draft: Draft) -> None:
        self._place(sign(draft, self._config.chain.id, self._world.now.base_fee))
        sender, fee = draft.sender, draft.gas_used * self._world.now.base_fee
        sender.balance = max(0, sender.balance - fee)

    def _place(self, signed: Signed) -> None:
        """Into this block, or the next one where it is full; nobody overtakes who waits."""
        gas = self._gas + signed.draft.gas_used
        if self._waiting or gas > self._sealer.gas_limit:
            self._waiting.append(signed)
        else:
            self._gas = gas
            self._body.append(signed)

    # --- forks ----------------------------------------------------------------------------------

    def _fork(self, fork: Fork) -> Iterator[RawBlock]:
        """A losing branch, then the winning one, one block longer, in slots that alternate."""
        parent, bodies = self._tip, []
        first: list[Draft] = []
        if fork.double_spend is not None:
            first.append(self._payment(fork.double_spend))
        for number in range(fork.depth):
            yield self._extend(1 if number == 0 else 2, first if number == 0 else ())
            bodies.append(self._body)
        self._tip = parent
        if fork.double_spend is not None:
            bodies[0] = [self._replaced(each, first[0]) for each in bodies[0]]
        late: list[Signed] = []
        for body in bodies:
            body, late = self._redistribute([*late, *body])
            yield self._seal(self._tip.timestamp + 2 * SLOT_SECONDS, body)
        self._waiting = [*late, *self._waiting]
        yield self._extend(1)

    def _redistribute(self, queue: list[Signed]) -> tuple[list[Signed], list[Signed]]:
        """The winning branch's proposer has not seen some payments: those come a block later."""
        body, late, gas = [], [], 0
        behind: set[bytes] = set()  # a sender's transactions stay in order
        for signed in queue:
            sender = signed.draft.sender.address
            plain = not signed.draft.data and signed.draft.type == 2 and signed.draft.nonce is None
            gas_after = gas + signed.draft.gas_used
            unseen = plain and self._rng.random() < 0.25
            if sender in behind or unseen or gas_after > self._sealer.gas_limit:
                behind.add(sender)
                late.append(signed)
            else:
                gas = gas_after
                body.append(signed)
        return body, late

    def _payment(self, record: Record) -> Draft:
        """What the double spender pays to an exchange, on the branch that loses."""
        spender = self._double_spenders[record.id]
        merchant = self._world.pick(self._world.exchange().hot)
        record.involve("merchant", merchant.address)
        value = self._rng.randrange(10, 29) * ETHER
        draft = pay(spender, merchant.address, value, tip=3 * GWEI)
        draft.record = record
        return draft

    def _replaced(self, signed: Signed, payment: Draft) -> Signed:
        """The same nonce again, to an address of the spender's own, on the branch that wins."""
        if signed.draft is not payment or payment.record is None:
            return signed
        own = self._world.fresh()
        payment.record.involve("own_address", own.address)
        payment.record.ended = True
        nonce = payment.sender.nonce - 1
        draft = pay(payment.sender, own.address, payment.value, tip=5 * GWEI, nonce=nonce)
        draft.record = payment.record
        own.credit(None, payment.value)
        return sign(draft, self._config.chain.id, self._world.now.base_fee)
