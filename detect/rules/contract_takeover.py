"""Watched contracts that change hands or code: upgrades, new owners and admins, replaced Safes.

Who steals a protocol's key, or talks its signers into one transaction, changes what the contract
runs or whom it obeys and empties it afterwards. Most such changes are maintenance: announced by a
timelock, signed by several, made by whoever made the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from chainwarden.schema import Evidence, Position, Reason, Role, Severity, hex_of
from detect.journal import Journaled, JournaledTable
from detect.known.safes import CHANGED_MASTER_COPY, SINGLETON_SLOT, SINGLETONS
from detect.known.services import SERVICE_ADDRESSES, SERVICE_LABELS
from detect.known.tokens import VALUE_TOKENS
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.creations import Creation, creations_of
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.rules.takeover_events import (
    CARRIED_OUT,
    CHANGES,
    EXECUTIONS,
    NOTICES,
    RULERS,
    SAFE_EVENTS,
    SLOTS,
    Change,
    Event,
    What,
    call_id,
    change_of,
    events_of,
)
from detect.scored import ScoredBatch

WATCHED: Final = SERVICE_LABELS | {"treasury", "token", "watched"}
DELEGATED_CODE: Final = 23  # bytes of an account's code that only points elsewhere (EIP-7702)
MOST_CALLS: Final = 32  # of timelocks in one transaction that are looked at
MOST_TOLD: Final = 32  # changes of one contract in one transaction, and Safes that nobody watches
USUAL: Final = 2  # the level of a change of which nothing else is known
_LEVELS: Final = {
    1: (Severity.LOW, 0.4),
    2: (Severity.MEDIUM, 0.6),
    3: (Severity.HIGH, 0.8),
    4: (Severity.CRITICAL, 0.95),
}


@dataclass(frozen=True, slots=True)
class ContractTakeoverConfig:
    """Thresholds, and how much is remembered.

    ``notice_seconds``: how long ago a timelock must have announced a call. ``young_seconds``: code
    that was deployed so lately by a fresh wallet raises a change. ``settled_seconds``: who changed
    the contract so long ago is its keeper. ``setup_seconds``: what was deployed so lately is still
    being set up. ``fresh_nonce``: a wallet with fewer transactions is fresh. ``rereads``: Safes per
    block whose storage a node is asked for.
    """

    notice_seconds: int = 6 * 3_600
    young_seconds: int = 7 * 86_400
    settled_seconds: int = 7 * 86_400
    setup_seconds: int = 86_400
    fresh_nonce: int = 100
    rereads: int = 8
    safes: int = 32_768
    made: int = 32_768
    notices: int = 8_192
    keepers: int = 8_192


@dataclass(frozen=True, slots=True)
class _Weight:
    # How a change was weighed, from the usual up or down.
    level: int = USUAL
    notice: int = 0
    young: bool = False
    fresh: bool = False
    lies: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Beside:
    # What else happened in a transaction: what timelocks carried out, which Safes executed.
    carried_out: list[Event] = field(default_factory=list)
    executed: set[bytes] = field(default_factory=set)
    told: dict[bytes, int] = field(default_factory=dict)


class ContractTakeover(Journaled):
    """Finds watched contracts that somebody else took over, and Safes whose code was replaced.

    Watched is what a label names a service, a treasury, a token or ``watched``, known services and
    listed tokens, and every Safe in view. Medium at first; one step lower each where a timelock
    carried it out, and where a Safe or the contract's keeper did; one higher each where the code
    was deployed lately by a fresh wallet, where the signer is fresh, where a node says that the new
    owner is a plain wallet. Critical only for a Safe, and where the storage holds other code than
    the event says. A Safe's slot 0 is read again after each execution: Bybit's was changed without
    an event. Suppressed: published Safe code, labelled signers and new owners, renouncing,
    contracts that are being set up.
    """

    id = "contract_takeover"
    version = 1
    confirms = "reading again what code Safes and proxies run, and what new owners are"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: ContractTakeoverConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or ContractTakeoverConfig()
        self._safes = JournaledTable(self._config.safes)  # Safe -> ()
        # contract -> (time, whether its maker was fresh)
        self._made = JournaledTable(self._config.made)
        self._notices = JournaledTable(self._config.notices)  # timelock + id -> (time,)
        self._keepers = JournaledTable(self._config.keepers)  # contract + signer -> (time,)
        super().__init__(
            {
                "safes": self._safes,
                "made": self._made,
                "notices": self._notices,
                "keepers": self._keepers,
            }
        )
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        made: list[tuple[tuple[int, int, int], Creation | Event]] = [
            ((*each.place, 0), each) for each in creations_of(columns)
        ]
        events = list(events_of(columns))
        steps = [*made, *((event.place, event) for event in events)]
        steps.sort(key=lambda step: step[0])
        findings: list[Finding] = []
        beside = _beside(events)
        for place, step in steps:
            serial, now = columns.first_serial + place[0], int(columns.block_times[place[0]])
            if isinstance(step, Creation):
                fresh = step.nonce is not None and step.nonce < self._config.fresh_nonce
                self._made.put(serial, step.contract, (now, fresh))
            elif step.topic in SAFE_EVENTS:
                if step.address not in self._safes:
                    self._safes.put(serial, step.address, ())
            elif step.topic in NOTICES:
                named = call_id(columns, step)
                if named is not None and named not in self._notices:
                    self._notices.put(serial, named, (now,))
            elif step.topic in CHANGES:
                findings += self._changed(columns, step, beside[step.tx])
        findings += self._reread(columns, events)
        findings.sort(key=lambda f: (f.block_row, f.transaction_index, f.ordinal))
        return findings

    # --- changes that an event tells

    def _changed(self, columns: Columns, event: Event, beside: _Beside) -> Iterator[Finding]:
        now = int(columns.block_times[event.place[0]])
        labelled = self._is_labelled(columns, event.address, now)
        if not labelled and event.topic != CHANGED_MASTER_COPY:
            return
        change = change_of(columns, event)
        if change is None or (change.what == What.MASTER_COPY and change.new in SINGLETONS):
            return
        if not (labelled or event.address in self._safes or event.address in beside.executed):
            return
        # Anybody can make many contracts that say they are Safes.
        times = beside.told.get(event.address, 0)
        if times >= MOST_TOLD or not (labelled or len(beside.told) < MOST_TOLD):
            return
        beside.told[event.address] = times + 1
        made = self._made.get(event.address)
        if made is not None and now - made[0] <= self._config.setup_seconds:
            return
        if self._is_known_to_be_good(columns, event, change, now):
            return
        weight = self._weigh(columns, event, change, beside.carried_out, labelled=labelled)
        signer = columns.cells("transactions")["from_address"][event.tx]
        if event.address + signer not in self._keepers:
            self._keepers.put(columns.first_serial + event.place[0], event.address + signer, (now,))
        if weight.level > 0:
            yield self._finding(columns, event, change, weight)

    def _is_labelled(self, columns: Columns, contract: bytes, now: int) -> bool:
        if contract in SERVICE_ADDRESSES or contract in VALUE_TOKENS:
            return True
        held = self._labels.labels_at(contract, now, columns.batch.chain.name)
        return any(label.label in WATCHED for label in held)

    def _is_known_to_be_good(
        self, columns: Columns, event: Event, change: Change, now: int
    ) -> bool:
        transactions, chain = columns.cells("transactions"), columns.batch.chain.name
        parties = {
            transactions["from_address"][event.tx],
            transactions["to_address"][event.tx],
        }
        if change.what in RULERS:
            parties.add(change.new)
        parties -= {event.address, None}
        return any(self._labels.is_service(party, now, chain) for party in parties)

    def _weigh(
        self,
        columns: Columns,
        event: Event,
        change: Change,
        carried_out: list[Event],
        *,
        labelled: bool,
    ) -> _Weight:
        config, transactions = self._config, columns.cells("transactions")
        now = int(columns.block_times[event.place[0]])
        signer = transactions["from_address"][event.tx]
        called = transactions["to_address"][event.tx]
        safe = change.what == What.MASTER_COPY
        notice = self._notice(columns, event, called, carried_out, now)
        kept = self._keepers.get(event.address + signer)
        keeper = kept is not None and now - kept[0] >= config.settled_seconds
        approved = called in self._safes and called != event.address
        made = self._made.get(change.new)
        young = made is not None and now - made[0] <= config.young_seconds and (made[1] or safe)
        nonce = int(columns.tx_nonce[event.tx])
        fresh = 0 <= nonce < config.fresh_nonce and not notice and not approved and not safe
        level = USUAL + (safe and labelled) + young + fresh - notice
        if not notice and not safe:
            level -= approved or keeper
        lies, ruler = self._ask(columns, event, change)
        level = min(level + ruler, 4 if safe else 3)
        why = _why(young=young, fresh=fresh, lies=lies, ruler=ruler, notice=notice)
        return _Weight(4 if lies else level, notice, bool(young), bool(fresh), lies, why)

    def _notice(
        self,
        columns: Columns,
        event: Event,
        called: bytes | None,
        carried_out: list[Event],
        now: int,
    ) -> int:
        # 2: a timelock that was called itself carries out what it announced long enough ago, and
        # what it carries out names the contract. 1: a timelock has to do with it. 0: none.
        best = 0
        for each in carried_out:
            named = call_id(columns, each)
            announced = self._notices.get(named) if named is not None else None
            data = columns.cells("logs")["data"][each.log] or b""
            target = columns.cells("logs")["topic2"][each.log] or b""
            concerned = event.address in data or event.address in target
            long_ago = announced is not None and now - announced[0] >= self._config.notice_seconds
            if concerned:
                best = max(best, 2 if long_ago and each.address == called else 1)
        return best

    def _ask(self, columns: Columns, event: Event, change: Change) -> tuple[bool, int]:
        # Whether the storage holds another address than the event says, and how a new owner weighs:
        # a plain wallet more, a contract less.
        at = columns.batch.position(event.place[0])
        if change.what in RULERS:
            code = self._node.code_at(change.new, at)
            if code is None:
                return False, 0
            return False, 1 if len(code) in (0, DELEGATED_CODE) else -1
        word = self._node.storage_at(event.address, SLOTS[change.what], at)
        return word is not None and any(word) and word[12:] != change.new, 0

    # --- changes that no event tells

    def _reread(self, columns: Columns, events: list[Event]) -> Iterator[Finding]:
        # Slot 0 of Safes that executed something, before and after the block.
        told = {(e.place[0], e.address) for e in events if e.topic == CHANGED_MASTER_COPY}
        ran: dict[int, dict[bytes, Event]] = {}
        for event in events:
            if event.topic in EXECUTIONS and (event.place[0], event.address) not in told:
                ran.setdefault(event.place[0], {})[event.address] = event
        for block, safes in ran.items():
            parent = columns.cells("blocks")["parent_hash"][block] or b""
            before = Position(int(columns.block_numbers[block]) - 1, parent)
            now = int(columns.block_times[block])
            watched = [s for s in safes if self._is_labelled(columns, s, now)]
            others = [s for s in safes if s not in watched]
            for safe in [*watched, *others][: self._config.rereads]:
                new = self._replaced(columns, safe, before, block, labelled=safe in watched)
                if new is not None:
                    level = 4 if safe in watched else 3
                    why = ", of which no event tells: its storage does"
                    weight = _Weight(level, lies=True, why=why)
                    change = Change(What.MASTER_COPY, new, None)
                    yield self._finding(columns, safes[safe], change, weight)

    def _replaced(
        self, columns: Columns, safe: bytes, before: Position, block: int, *, labelled: bool
    ) -> bytes | None:
        # What a Safe's code was replaced by in a block; None: nothing, or unknown.
        after = self._node.storage_at(safe, SINGLETON_SLOT, columns.batch.position(block))
        if after is None or after[12:] in SINGLETONS:
            return None
        old = self._node.storage_at(safe, SINGLETON_SLOT, before)
        if old is None or old == after or not (labelled or old[12:] in SINGLETONS):
            return None
        return after[12:]

    def _finding(self, columns: Columns, event: Event, change: Change, weight: _Weight) -> Finding:
        severity, score = _LEVELS[weight.level]
        transactions = columns.cells("transactions")
        tx_hash = transactions["transaction_hash"][event.tx]
        signer = transactions["from_address"][event.tx]
        values = (
            ("new_code_is_young", float(weight.young), 1.0),
            ("signer_is_fresh", float(weight.fresh), 1.0),
            ("announced", float(weight.notice), 2.0),
            ("storage_differs", float(weight.lies), 1.0),
        )
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="contract_takeover",
            severity=severity,
            score=score,
            subject=event.address,
            role=Role.VICTIM,
            block_row=event.place[0],
            transaction_index=event.place[1],
            transaction_hash=tx_hash,
            ordinal=event.place[2],
            sentence=(
                f"{hex_of(event.address)} {change.what} {hex_of(change.new)}{weight.why}; "
                f"signed by {hex_of(signer)}."
            ),
            reasons=tuple(
                Reason(name, value, score / len(values), threshold)
                for name, value, threshold in values
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,), addresses=(change.new, signer)
            ),
        )


def _beside(events: list[Event]) -> dict[int, _Beside]:
    found: dict[int, _Beside] = {}
    for event in events:
        beside = found.setdefault(event.tx, _Beside())
        if event.topic in CARRIED_OUT:
            if len(beside.carried_out) < MOST_CALLS:
                beside.carried_out.append(event)
        elif event.topic in EXECUTIONS:
            beside.executed.add(event.address)
    return found


def _why(*, young: bool, fresh: bool, lies: bool, ruler: int, notice: int) -> str:
    parts = [
        ", deployed only lately" * young,
        ", a plain wallet" * (ruler > 0),
        ", announced by no timelock" * (not notice),
        "; the signer has hardly a past" * fresh,
        "; its storage holds something else" * lies,
    ]
    return "".join(parts)
