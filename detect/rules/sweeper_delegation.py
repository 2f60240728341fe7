"""EIP-7702 sweepers: accounts whose key leaked delegate to code that forwards all that comes in.

Who has the key signs the authorization and lets a sponsor submit it. From then on whatever arrives
is gone in the same block or the next. Wintermute counted 97 % of all delegations in May 2025 as
sweepers', so a single delegation is nothing to alert about: the delegate is, and the wallet that
loses something worth having.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from chainwarden.schema import (
    ZERO_ADDRESS,
    Evidence,
    FlowKind,
    Reason,
    Role,
    Severity,
    hex_of,
)
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.delegates import DELEGATED, SWEEPERS
from detect.known.tokens import LARGE, NATIVE, VALUE_TOKENS, is_large
from detect.labels import LabelBook
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import ColumnCache, Columns, within_transaction
from detect.rules.delegates import Delegate, SweeperConfig
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding, about_flow
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

AUTHORIZED: Final = -(1 << 20)  # ordinals of findings about authorizations count down from here
NEVER: Final = -(10**9)  # the block of an income that never came
PLAIN_GAS: Final = 21_000
CONVICTED: Final = 16  # sweepers whose code a node is asked for, to find clones
_LEVELS: Final = {1: (Severity.LOW, 0.4), 2: (Severity.HIGH, 0.8)}


class SweeperDelegation(Journaled):
    """Finds sweepers' delegates (attackers) and valuable wallets that they empty (victims).

    A delegate is high where it is known, where a node says that its code is a known one's, or where
    the income of at least ten sponsored authorities goes on at once to three receivers or fewer;
    low at the first two such sweeps. Ether that the code passes on as it arrives shows in no log:
    without call traces the gas gives it away, low, and high where a node says that nothing is left.
    A wallet swept of a thousand dollars
    or more is high, critical where it is a hundred thousand. Authorizations count though their
    transaction failed; those for another chain, with a spent nonce or a bad signature do not.
    Suppressed: delegates of known wallets, and any whose authorities pay whom they like.
    """

    id = "sweeper_delegation"
    version = 1
    confirms = "knowing clones of sweepers' delegates, what took effect, and whether ether was left"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: SweeperConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or SweeperConfig()
        self._delegates = JournaledTable(self._config.delegates)
        # authority -> (delegate, block number of the last income)
        self._authorities = JournaledTable(self._config.authorities)
        self._convicted = JournaledTable(CONVICTED)  # delegates that were told as high
        super().__init__(
            {
                "delegates": self._delegates,
                "authorities": self._authorities,
                "convicted": self._convicted,
            }
        )
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        granted = scored.batch.authorizations
        if not granted.num_rows and not len(self._authorities):
            return ()
        flows = self._candidates(columns)
        steps: list[tuple[tuple[int, ...], bool, int]] = []
        if granted.num_rows:
            rows = columns.block_row(granted["block_number"].to_numpy()).tolist()
            indexes = granted["transaction_index"].to_pylist()
            ordinals = granted["ordinal"].to_pylist()
            for row, (block, index, ordinal) in enumerate(
                zip(rows, indexes, ordinals, strict=True)
            ):
                steps.append(((block, index, -1, ordinal), False, row))
        for row in flows.tolist():
            place = within_transaction(int(columns.flow_ordinal[row]))
            block, index = int(columns.flow_row[row]), int(columns.flow_tx_index[row])
            steps.append(((block, index, *place), True, row))
        findings: list[Finding] = []
        for _, is_flow, row in sorted(steps):
            findings += self._moved(columns, row) if is_flow else self._authorized(columns, row)
        return findings

    def _candidates(self, columns: Columns) -> Array:
        # What moved of the chain's coin or a listed token from or to a delegating account.
        who = set(self._authorities.keys())
        who.update(a for a in columns.batch.authorizations["authority"].to_pylist() if a)
        if not columns.flow_count or not who:
            return np.empty(0, np.int64)
        wanted = address_set(who)
        theirs = columns.members("flows", "from_address", wanted)
        theirs = theirs | columns.members("flows", "to_address", wanted)
        rows: Array = np.flatnonzero(theirs & columns.flow_moved & (columns.flow_coin >= 0))
        return rows

    # --- authorizations

    def _authorized(self, columns: Columns, row: int) -> Iterator[Finding]:
        granted, chain = columns.cells("authorizations"), columns.batch.chain
        authority, delegate = granted["authority"][row], granted["delegate"][row]
        number, index = (
            granted["block_number"][row],
            granted["transaction_index"][row],
        )
        tx = columns.tx_row(number, index)
        if authority is None or tx < 0 or not _takes_effect(columns, row, tx, authority):
            return
        serial = columns.first_serial + columns.row_of_block(number)
        time = granted["block_timestamp"][row]
        before = self._authorities.get(authority)
        if delegate == ZERO_ADDRESS or self._labels.is_service(delegate, time, chain.name):
            self._authorities.remove(serial, authority)
            return
        new = before is None or before[0] != delegate
        self._authorities.put(serial, authority, (delegate, before[1] if before else NEVER))
        known = self._delegates.get(delegate)
        record = Delegate(*known) if known else Delegate(time)
        signer = columns.cells("transactions")["from_address"][tx]
        record = record.sign(sponsored=signer != authority, new=new)
        place = AUTHORIZED - int(granted["ordinal"][row])
        yield from self._tell_delegate(columns, serial, tx, delegate, record, authority, place)

    def _tell_delegate(
        self,
        columns: Columns,
        serial: int,
        tx: int,
        delegate: bytes,
        record: Delegate,
        authority: bytes,
        place: int,
    ) -> Iterator[Finding]:
        # Told when it gets worse, and again at ten times as many authorities. What a node says is
        # not kept: the state is the same without one.
        why, level = self._judge(delegate, record)
        swept = place > AUTHORIZED  # the ordinal of a flow, not of an authorization
        crowd = record.authorities
        again = not swept and crowd > 1 and _is_power_of_ten(crowd)
        tell = level > record.told or bool(level and again)
        if level < 2 and not swept and (again or crowd == self._config.clone_authorities):
            if record.is_sponsored(self._config) and self._is_clone(columns, serial, delegate):
                why, level, tell = "whose code is that of a known sweeper", 2, True
        elif level == 2:
            self._convicted.put(serial, delegate, ())
        in_view = self._judge(delegate, record)[1]
        record = replace(record, told=max(in_view, record.told))
        if tell:
            yield self._finding(columns, tx, delegate, record, authority, (why, level), place)
        self._delegates.put(serial, delegate, record.row())

    def _judge(self, delegate: bytes, record: Delegate) -> tuple[str, int]:
        if delegate in SWEEPERS:
            return f"which is {SWEEPERS[delegate]} sweeper", 2
        if record.sweeps(self._config) or record.told == 2:
            return "which forwards what comes in to a few receivers at once", 2
        if record.is_suspect(self._config):
            return "and what comes in to them is beginning to go on to one receiver", 1
        if record.forwards(self._config):
            return "whose code does something costly, like passing it on, when ether comes in", 1
        return "", 0

    def _is_clone(self, columns: Columns, serial: int, delegate: bytes) -> bool:
        at = columns.position(serial - columns.first_serial)
        code = self._node.code_at(delegate, at)
        if not code:
            return False
        suspects = [*sorted(SWEEPERS), *self._convicted]
        return any(self._node.code_at(known, at) == code for known in suspects)

    def _finding(
        self,
        columns: Columns,
        tx: int,
        delegate: bytes,
        record: Delegate,
        authority: bytes,
        what: tuple[str, int],
        place: int,
    ) -> Finding:
        why, level = what
        severity, score = _LEVELS[level]
        tx_hash = columns.cells("transactions")["transaction_hash"][tx]
        config, many = self._config, record.authorities
        share = record.sink_share(config)
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="sweeper_delegation",
            severity=severity,
            score=score,
            subject=delegate,
            role=Role.ATTACKER,
            block_row=columns.row_of_block(int(columns.tx_block[tx])),
            transaction_index=int(columns.tx_index[tx]),
            transaction_hash=tx_hash,
            ordinal=place,
            sentence=(
                f"{many} account{'s' if many != 1 else ''} delegate to {hex_of(delegate)}, {why}; "
                f"the latest is {hex_of(authority)}."
            ),
            reasons=(
                Reason("authorities", float(many), score / 2, float(config.authorities_low)),
                Reason(
                    "sponsored",
                    record.sponsored / max(1, record.signed),
                    score / 4,
                    config.sponsored,
                ),
                Reason("share_of_main_sinks", share, score / 4, config.sink_share),
            ),
            evidence=Evidence(
                transactions=() if tx_hash is None else (tx_hash,),
                addresses=(authority, *(sink for sink, _ in record.sinks)),
            ),
        )

    # --- flows

    def _moved(self, columns: Columns, row: int) -> Iterator[Finding]:
        flows, number = columns.cells("flows"), int(columns.flow_block[row])
        source, target = flows["from_address"][row], flows["to_address"][row]
        serial = columns.first_serial + int(columns.flow_row[row])
        mine = self._authorities.get(target)
        if mine is not None and source != target:
            self._authorities.put(serial, target, (mine[0], number))
            if _is_forwarded(columns, row, self._config.forward_gas):
                yield from self._forwarded(columns, row, mine[0], target)
        spent = self._authorities.get(source)
        tx = int(columns.flow_tx[row])
        if spent is None or source == target or tx < 0:
            return
        delegate, came = spent
        known = self._delegates.get(delegate)
        if known is None or number - came > self._config.blocks:
            return
        record = Delegate(*known).sweep(target)
        place = int(columns.flow_ordinal[row])
        yield from self._tell_delegate(columns, serial, tx, delegate, record, source, place)
        if self._judge(delegate, record)[1] == 2 or self._is_clone(columns, serial, delegate):
            yield from self._tell_victim(columns, row, delegate, source, target)

    def _forwarded(
        self, columns: Columns, row: int, delegate: bytes, authority: bytes
    ) -> Iterator[Finding]:
        # Ether that came in and, by its gas, was passed on at once to somebody out of view.
        known, config, tx = self._delegates.get(delegate), self._config, int(columns.flow_tx[row])
        if known is None:
            return
        record, block = Delegate(*known), int(columns.flow_row[row])
        record = replace(record, forwarded=record.forwarded + 1)
        serial, place = columns.first_serial + block, int(columns.flow_ordinal[row])
        level = self._judge(delegate, record)[1]
        many = record.forwards(config)
        told = many and (record.forwarded == config.forwards or _is_power_of_ten(record.forwarded))
        at = columns.position(block)
        if level == 1 and many and self._node.balance_at(authority, at) == 0:
            level = 2
            if told:  # what a node says is not kept
                why = "which passes on all ether as it comes in"
                what = (why, 2)
                yield self._finding(columns, tx, delegate, record, authority, what, place)
            self._delegates.put(serial, delegate, replace(record, told=max(1, record.told)).row())
        else:
            yield from self._tell_delegate(columns, serial, tx, delegate, record, authority, place)
        if level == 2:
            yield from self._tell_victim(columns, row, delegate, authority, None)

    def _tell_victim(
        self,
        columns: Columns,
        row: int,
        delegate: bytes,
        victim: bytes,
        sink: bytes | None,
    ) -> Iterator[Finding]:
        flows = columns.cells("flows")
        token = flows["token_address"][row]
        amount = columns.amount(row)
        known = NATIVE if token is None else VALUE_TOKENS[token]
        if amount < LARGE[token] * 10**known.decimals * self._config.valuable:
            return
        at = columns.position(int(columns.flow_row[row]))
        code = self._node.code_at(victim, at)
        if code is not None and code != DELEGATED + delegate:
            return  # the authorization did not take effect, or was taken back
        large = is_large(token, amount)
        severity, score = (Severity.CRITICAL, 0.95) if large else (Severity.HIGH, 0.8)
        where = "at once" if sink is None else f"to {hex_of(sink)}"
        yield about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="sweeper_delegation",
            severity=severity,
            score=score,
            subject=victim,
            role=Role.VICTIM,
            sentence=(
                f"{amount_text(token, amount)} that had just come to {hex_of(victim)} went on "
                f"{where}: its key is lost, it delegates to the sweeper {hex_of(delegate)}."
            ),
            reasons=(
                Reason("swept_units", amount / 10.0**known.decimals, score, float(LARGE[token])),
            ),
            addresses=(delegate,) if sink is None else (delegate, sink),
            amounts=((token, amount),),
        )


def _takes_effect(columns: Columns, row: int, tx: int, authority: bytes) -> bool:
    # As far as the block tells: right chain, and not a nonce that its signer has spent with this.
    granted = columns.cells("authorizations")
    chain_id = int.from_bytes(granted["chain_id"][row], "big")
    if chain_id not in (0, columns.batch.chain.id):
        return False
    transactions = columns.cells("transactions")
    if transactions["from_address"][tx] != authority:
        return True
    spent = transactions["nonce"][tx]
    return spent is None or granted["nonce"][row] > spent


def _is_forwarded(columns: Columns, row: int, gas: int) -> bool:
    # Whether a plain payment cost so much more gas than it does that code passed it on, and no
    # trace says to whom.
    tx, transactions = int(columns.flow_tx[row]), columns.cells("transactions")
    if columns.flow_kind[row] != FlowKind.NATIVE or columns.input_lengths[tx] > 0:
        return False
    used = transactions["gas_used"][tx]
    if used is None or used < PLAIN_GAS + gas:
        return False
    granted = columns.batch.authorizations
    if granted.num_rows:
        here = granted["block_number"].to_numpy() == int(columns.tx_block[tx])
        here &= granted["transaction_index"].to_numpy() == int(columns.tx_index[tx])
        if here.any():
            return False  # authorizations cost gas, too
    first, stop = columns.flows_of(tx)
    return not (columns.flow_kind[first:stop] == FlowKind.INTERNAL).any()


def _is_power_of_ten(count: int) -> bool:
    while count and count % 10 == 0:
        count //= 10
    return count == 1
