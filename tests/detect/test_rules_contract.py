"""What every rule promises: the same however blocks are batched, undone exactly, never crashed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock, SnapshotRefused
from chainwarden.schema import (
    ETHEREUM,
    Alert,
    BlockBatch,
    Chain,
    FlowKind,
    Label,
    Severity,
    alert_id,
)
from detect.alerts import AlertPolicy
from detect.code_learner import CodeLearnerConfig
from detect.code_memory import CodeMemoryConfig
from detect.known.authorizations import AUTHORIZATION_USED, PERMIT2
from detect.known.flash_loans import SHARED_LOAN
from detect.known.freezes import USDT_FROZEN, USDT_UNFROZEN
from detect.known.marketplaces import ORDER_FULFILLED, SEAPORTS, TRANSFER_HELPER
from detect.known.mixers import TORNADO_DEPOSIT, TORNADO_WITHDRAWAL
from detect.known.proxies import CALL_EXECUTED, CALL_SCHEDULED, OWNER_CHANGED, UPGRADED
from detect.known.safes import CHANGED_MASTER_COPY, SAFE_SUCCESS
from detect.known.sanctions import SANCTIONS_ADDED, SANCTIONS_ORACLE, SANCTIONS_REMOVED
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules import RulesConfig, default_rules
from detect.rules.address_poisoning import PoisoningConfig
from detect.rules.chain_labels import ChainLabelsConfig
from detect.rules.columns import Columns
from detect.rules.contract_takeover import ContractTakeoverConfig
from detect.rules.delegates import SweeperConfig
from detect.rules.double_spend import DoubleSpendConfig
from detect.rules.drainer_split import DrainerSplitConfig
from detect.rules.dusting import DustingConfig
from detect.rules.exchange_drain import ExchangeDrainConfig
from detect.rules.flash_loan import FlashLoanConfig
from detect.rules.funding import FundingConfig
from detect.rules.honeypot import HoneypotConfig
from detect.rules.ice_phishing import IcePhishingConfig
from detect.rules.issuer_freeze import IssuerFreezeConfig
from detect.rules.key_compromise import KeyCompromiseConfig
from detect.rules.layering import LayeringConfig
from detect.rules.malicious_deployment import MaliciousDeploymentConfig
from detect.rules.marketplace_phishing import MarketplaceConfig
from detect.rules.mixer_link import MixerLinkConfig
from detect.rules.mixer_touch import MixerConfig
from detect.rules.native_claim import NativeClaimConfig
from detect.rules.phishing_wallet import PhishingWalletConfig
from detect.rules.ponzi import PonziConfig
from detect.rules.rug_pull import RugPullConfig
from detect.rules.rule import Finding, Rule
from detect.rules.safe_delegatecall import SafeDelegatecallConfig, foreign_target
from detect.rules.sandwich import SandwichConfig
from detect.rules.signature_phishing import SignaturePhishingConfig
from detect.rules.sybil import SybilConfig
from detect.rules.taint_ledger import TaintConfig
from detect.rules.token_launch import TokenLaunchConfig
from detect.rules.wash_trading import WashConfig
from detect.scored import APPROVAL_FACTS, FLOW_FACTS, ScoredBatch
from ingest.decode import decode_blocks
from ingest.jsonl import JsonlSource
from tests.detect.build import ETHER, Block, Build, Tx, at, run, split, uint, wallet, word
from tests.detect.codes import borrower, deploying, program
from tests.detect.launch_txs import SUPPLY, TOKEN, add, buy, create, pay, remove, sell
from tests.detect.pool_logs import v2_swap
from tests.detect.test_rules_exact import exec_transaction
from tests.detect.test_rules_poisoning import lookalike

SEAPORT = min(SEAPORTS)
POOL = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
BALANCER = at("0xBA12222222228d8Ba445958a75a0704d566BF2C8")
WALLETS = [wallet(i) for i in range(5)]
EXCHANGE = wallet(50)
PEOPLE = [*WALLETS, *[lookalike(w) for w in WALLETS[:3]], POOL]
SMALL = RulesConfig(
    chain_labels=ChainLabelsConfig(3),
    issuer_freeze=IssuerFreezeConfig(2),
    mixer_touch=MixerConfig(capacity=2),
    address_poisoning=PoisoningConfig(8, 4, 2),
    ice_phishing=IcePhishingConfig(spenders=3, pending=4, approvals=1, drains=0, drains_critical=2),
    signature_phishing=SignaturePhishingConfig(
        owners_high=2, owners_critical=3, least=0.0, return_seconds=20, takers=2
    ),
    contract_takeover=ContractTakeoverConfig(
        notice_seconds=12, setup_seconds=0, settled_seconds=30, safes=2, made=3, notices=2,
        keepers=2,
    ),
    drainer_split=DrainerSplitConfig(splits=2, operators=2, victims_high=2),
    sweeper_delegation=SweeperConfig(
        authorities_low=2, sweeps=2, delegates=2, authorities=3, sponsored=0.5
    ),
    wash_trading=WashConfig(sales=1, trips=1, met_before=0, items=2, positions=3, traders=2),
    exchange_drain=ExchangeDrainConfig(
        floor=0, tokens=1, hours=1, times=0.1, wallets=1, sketches=2, destinations=2
    ),
    marketplace_phishing=MarketplaceConfig(victims_low=1, victims_high=2, upgraders=1, takers=2),
    native_claim=NativeClaimConfig(capacity=2, victims_high=2),
    double_spend=DoubleSpendConfig(capacity=4),
    sandwich=SandwichConfig(block_trades=2),
    layering=LayeringConfig(wallets=3, trail=2, hops=1, service_hops=1, alert_ether=0.5, equals=2),
    mixer_link=MixerLinkConfig(told=0.1, ring=2, wallets=2, deposits=4),
    taint=TaintConfig(alert_ether=0.1, high_ether=0.5, contract_hub=3, wallets=3, queues=2, hops=2),
    flash_loan=FlashLoanConfig(creators=2, funded=2, info_dollars=0.5),
    ponzi=PonziConfig(investors=1, excess=0.0, top_share=0.0, winners=0.0, schemes=2, members=2),
    token_launch=TokenLaunchConfig(
        tokens=3,
        pools=2,
        pending=2,
        rug_pull=RugPullConfig(migration_seconds=20),
        honeypot=HoneypotConfig(buyers=2, quiet_seconds=20, failing=1, taxed=1),
    ),
    key_compromise=KeyCompromiseConfig(senders=(1, 2, 3), capacity=3, pairs=8),
    phishing_wallet=PhishingWalletConfig(strangers=1, share=0.1, collectors=3, exits=2, deposits=2),
    sybil=SybilConfig(
        children=2, spread=9.0, alike=0.0, places=0, hops=1, acting=0, outside=1.0,
        watched=4, funders=3, sinks=2,
    ),
    dusting=DustingConfig(wallets=(1, 2, 3), senders=2, tokens=2),
    malicious_deployment=MaliciousDeploymentConfig(
        memory=CodeMemoryConfig(
            delay_seconds=30,
            waiting=3,
            codes=3,
            bad_codes=2,
            common=3,
            learner=CodeLearnerConfig(warm_up=1, kept=2, rehearsals=2),
        ),
        funding=FundingConfig(floor_wei=ETHER, hop_wei=1, wallets=3),
    ),
)  # fmt: skip
MEMORIES = {"reorg_depth", "double_spend", "finality_delay"}  # outlive a revert by design
# These remember every block.
BLOCK_BY_BLOCK = {"missed_slots", "builders", "empty_blocks", "gas_use"}


def free_order(taker: bytes, collection: bytes) -> bytes:
    """The data of an order that gives one item for nothing."""
    item = uint(1) + uint(2) + word(collection) + uint(5) + uint(1)
    return uint(7) + word(taker) + uint(128) + uint(288) + item + uint(0)


def rules(chain: Chain = ETHEREUM) -> list[Rule]:
    """All rules, with tables so small that they overflow."""
    said = [
        Label(WALLETS[4], "sanctioned", "x"),
        Label(WALLETS[1], "treasury", "x"),
        Label(EXCHANGE, "exchange", "x"),
    ]
    book = LabelBook([*builtin_labels(), *said])
    return default_rules(book, chain, SMALL)


def listing(*wallets: bytes) -> bytes:
    """An array of addresses as the sanctions oracle's events carry it."""
    return uint(32) + uint(len(wallets)) + b"".join(map(word, wallets))


@st.composite
def transactions(draw: st.DrawFn) -> Tx:
    """One of the shapes the rules look for, between few wallets."""
    a, b, c = (draw(st.sampled_from(PEOPLE)) for _ in range(3))
    amount = draw(st.sampled_from([0, 1, 10**6, ETHER]))
    approval = {"token_address": USDC, "owner": a, "spender": b, "value": amount}
    paid = b"".join(map(uint, (64, 160, 2))) + word(b) + word(c) + uint(2) + uint(1) + uint(amount)
    shapes = (
        Tx(a, b, amount),
        Tx(a, USDT, tokens=[(USDT, a, b, amount)]),
        Tx(c, USDC, tokens=[(USDC, a, b, amount)]),
        Tx(c, wallet(99), tokens=[(wallet(99), a, b, 5)]),
        Tx(a, b, ETHER, data=bytes.fromhex("4e71d92d")),
        Tx(a, b, data=exec_transaction(c, 1), logs=[(b, [SAFE_SUCCESS], bytes(64))]),
        Tx(a, USDC, approvals=[approval]),
        Tx(b, USDC, data=bytes.fromhex("d505accf"), approvals=[approval],
           tokens=[(USDC, a, c, amount)]),
        Tx(a, USDT, logs=[(USDT, [USDT_FROZEN], word(b))]),
        Tx(a, USDT, logs=[(USDT, [USDT_UNFROZEN], word(b))]),
        Tx(a, POOL, ETHER, logs=[(POOL, [TORNADO_DEPOSIT, uint(1)], bytes(64))]),
        Tx(a, POOL, logs=[(POOL, [TORNADO_WITHDRAWAL, word(c)], word(b) + bytes(64))]),
        Tx(c, wallet(98), tokens=[(USDC, a, c, 20 * amount), (USDC, a, b, 80 * amount)]),
        Tx(a, SANCTIONS_ORACLE, logs=[(SANCTIONS_ORACLE, [SANCTIONS_ADDED], listing(b, c))]),
        Tx(a, SANCTIONS_ORACLE, logs=[(SANCTIONS_ORACLE, [SANCTIONS_REMOVED], listing(b))]),
        Tx(a, b, logs=[v2_swap(POOL, 10**6, -1_000)]),
        Tx(a, c, tokens=[(USDC, a, c, amount), (USDC, c, b, amount)], data=bytes(4)),
        Tx(a, b, tokens=[(USDC, c, b, 10**6)], logs=[(BALANCER, [SHARED_LOAN, word(b), word(USDC)],
           uint(10**6) + uint(0))]),
        create(a),
        add(ETHER, b, a),
        buy(b, 3 * ETHER, pool=c),
        sell(b, ETHER, pool=c, taxed=amount % 800),
        remove(4 * ETHER, a, b),
        pay(a, b, 10 * ETHER),
        Tx(a, TOKEN, tokens=[(TOKEN, bytes(20), b, SUPPLY)], data=bytes.fromhex("f9f92be4")),
        Tx(a, b, logs=[v2_swap(POOL, -(10**6 + amount % 7), 1_000)]),
        Tx(b, wallet(96), 1, tokens=[(wallet(96), a, b, 1)], kind=FlowKind.ERC721),
        Tx(a, wallet(95), tokens=[(wallet(95), a, b, 100)]),
        Tx(a, b, data=bytes.fromhex("3659cfe6") + word(c)),
        Tx(a, TRANSFER_HELPER, data=bytes.fromhex("32389b71"), kind=FlowKind.ERC721,
           tokens=[(wallet(94), a, b, 1)]),
        Tx(b, SEAPORT, kind=FlowKind.ERC721, tokens=[(wallet(94), a, b, 1)],
           logs=[(SEAPORT, [ORDER_FULFILLED, word(a)], free_order(b, wallet(94)))]),
        Tx(c, a, amount, authorizations=[
            {"authority": a, "delegate": wallet(97), "nonce": 9},
            {"authority": b, "delegate": wallet(97), "nonce": 9},
        ]),
        Tx(a, EXCHANGE, amount),
        Tx(WALLETS[4], a, 3 * amount),
        Tx(a, wallet(96), ETHER + 1, data=bytes.fromhex("e63d38ed") + paid),
        Tx(c, USDC, tokens=[(wallet(95), c, a, 5), (wallet(95), c, b, 5)]),
        Tx(a, None, data=deploying(program(amount % 5, 150 + draw(st.integers(0, 2)))), creates=b),
        Tx(b, None, data=deploying(program(amount % 5, 150)), creates=WALLETS[4]),
        Tx(a, b, logs=[(EXCHANGE, [UPGRADED, word(c)], b""),
           (b, [CALL_EXECUTED, uint(1), uint(0)], word(EXCHANGE))]),
        Tx(a, EXCHANGE, logs=[(EXCHANGE, [OWNER_CHANGED, word(a), word(b)], b"")]),
        Tx(a, b, logs=[(b, [CHANGED_MASTER_COPY], word(c)), (b, [SAFE_SUCCESS], bytes(64))]),
        Tx(a, b, logs=[(b, [CALL_SCHEDULED, uint(1), uint(0)], word(EXCHANGE))]),
        Tx(c, PERMIT2, data=bytes.fromhex("30f28b7a") + bytes(9 * 32),
           tokens=[(USDC, a, b, amount)]),
        Tx(c, USDC, data=bytes.fromhex("e3ee160e") + bytes(9 * 32), tokens=[(USDC, a, b, amount)],
           logs=[(USDC, [AUTHORIZATION_USED, word(a)], b"")]),
        Tx(c, None, data=deploying(borrower(program(1, 150))), creates=a),
    )  # fmt: skip
    shape = draw(st.integers(0, len(shapes) - 1))
    tx = shapes[shape]
    if draw(st.integers(0, 5)) == 0:
        tx.creates = c
    tx.status = draw(st.sampled_from([1, 1, 1, 0, None]))
    tx.nonce = draw(st.integers(0, 3))
    tx.salt = draw(st.integers(0, 1 << 30))
    tx.facts = {"spender_nonce": 3} if shape == 6 else {"from_held": float(tx.value)}
    if draw(st.booleans()):
        tx.facts |= {"from_received": 9, "from_nonce": 9, "to_funder": 7, "pair_events": 1}
    return tx


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """What a header says of gas, fees and builders; sometimes nothing."""
    if draw(st.integers(0, 4)) == 0:
        return {}
    return {
        "miner": draw(st.sampled_from(WALLETS[:3])),
        "gas_limit": 1_000_000,
        "gas_used": draw(st.sampled_from([0, 500_000, 990_000, 1_000_000])),
        "base_fee_per_gas": draw(st.sampled_from([None, 7, 10**9, 2**64 - 1])),
        "blob_gas_used": draw(st.sampled_from([None, 0, 2**17])),
        "excess_blob_gas": draw(st.sampled_from([None, 0, 2**17])),
    }


BLOCKS = st.lists(
    st.builds(Block, txs=st.lists(transactions(), max_size=5), header=headers()),
    min_size=1,
    max_size=6,
)
GAPS = st.lists(st.sampled_from([12, 12, 12, 24, 60, 4000]), min_size=6, max_size=6)


def timed(blocks: list[Block], gaps: list[int]) -> list[Block]:
    """The blocks at increasing times with slots missed between some."""
    at_time, out = Build().time, []
    for block, gap in zip(blocks, gaps, strict=False):
        at_time += gap
        out.append(Block(block.txs, time=at_time, header=block.header))
    return out


def evaluated(every: list[Rule], *batches: ScoredBatch) -> list[Any]:
    """What all rules say, per rule, with the block's serial in place of its row."""
    said = []
    for rule in every:
        for scored in batches:
            for f in run(rule, scored):
                said.append(
                    (
                        rule.id,
                        scored.first_serial + f.block_row,
                        f.severity,
                        f.subject,
                        f.transaction_index,
                        f.ordinal,
                        f.sentence,
                        f.evidence,
                    )
                )
    return said


@settings(deadline=None, max_examples=80)
@given(BLOCKS, GAPS)
def test_findings_and_state_do_not_depend_on_batching(blocks: list[Block], gaps: list[int]) -> None:
    """All blocks in one batch or one by one: the same findings, the same digests."""
    scored = Build().batch(*timed(blocks, gaps))
    whole, single = rules(), rules()
    assert evaluated(whole, scored) == evaluated(single, *split(scored))
    assert [r.digest() for r in whole] == [r.digest() for r in single]


@settings(deadline=None, max_examples=80)
@given(BLOCKS, BLOCKS, GAPS)
def test_a_reverted_branch_leaves_no_trace(
    trunk: list[Block], branch: list[Block], gaps: list[int]
) -> None:
    """Digests after a revert are those of before, and what follows is said as if it never was."""
    build, every = Build(), rules()
    first = build.batch(*timed(trunk, gaps))
    evaluated(every, first)
    before = [rule.digest() for rule in every]
    mark = build.mark()
    evaluated(every, build.batch(*branch))
    for serial in range(build.serial - 1, mark[2] - 1, -1):
        for rule in every:
            rule.revert(serial)
    assert [rule.digest() for rule in every] == before
    build.back(mark)
    fresh = rules()
    evaluated(fresh, first)
    after = build.batch(*branch)
    mine = [x for x in evaluated(every, after) if x[0] not in MEMORIES]
    assert mine == [x for x in evaluated(fresh, after) if x[0] not in MEMORIES]
    assert [rule.digest() for rule in every] == [rule.digest() for rule in fresh]


@settings(deadline=None, max_examples=50)
@given(BLOCKS, BLOCKS, st.integers(-1, 6))
def test_a_restored_rule_continues_bit_for_bit(
    trunk: list[Block], branch: list[Block], forgotten: int
) -> None:
    """A snapshot restored into a fresh rule goes on, and reverts, like the original."""
    build, every, copies = Build(), rules(), rules()
    evaluated(every, build.batch(*trunk))
    for rule, copy in zip(every, copies, strict=True):
        rule.forget(forgotten)
        copy.restore(rule.snapshot())
        assert copy.snapshot() == rule.snapshot()
        for serial in range(len(trunk) - 1, max(forgotten, len(trunk) - 3), -1):
            rule.revert(serial)
            copy.revert(serial)
        assert copy.digest() == rule.digest()
    build.serial = max(0, len(trunk) - 2)
    more = build.batch(*branch)
    assert evaluated(every, more) == evaluated(copies, more)
    assert [r.digest() for r in every] == [r.digest() for r in copies]


@settings(deadline=None, max_examples=40)
@given(BLOCKS)
def test_state_is_bounded_and_ids_are_unique(blocks: list[Block]) -> None:
    """Snapshots of overflowing rules stay small; no two findings of a rule share an id."""
    build, every = Build(), rules()
    for turn in range(3):
        for number, tx in enumerate(tx for block in blocks for tx in block.txs):
            tx.salt = 1000 * turn + number
        scored = build.batch(*blocks)
        for rule in every:
            findings = rule.evaluate(scored)
            ids = [
                alert_id(ETHEREUM, f.rule, f.rule_version, f.subject, f.transaction_hash, f.ordinal)
                for f in findings
            ]
            assert len(set(ids)) == len(ids)
            rule.forget(build.serial)
    # The contract model has two weights for each of 5,147 features.
    models = {"malicious_deployment": 96_000}
    assert all(len(rule.snapshot()) < 64_000 + models.get(rule.id, 0) for rule in every)


def test_no_rule_takes_another_rules_snapshot() -> None:
    """Each refuses every other's snapshot, and a truncated one of its own."""
    every = rules()
    for rule in every:
        for other in every:
            if other.id != rule.id:
                with pytest.raises(SnapshotRefused):
                    rule.restore(other.snapshot())
        with pytest.raises(SnapshotRefused):
            rule.restore(rule.snapshot()[:-1])


@settings(deadline=None, max_examples=400)
@given(st.binary(max_size=900), st.booleans())
def test_hostile_calldata_cannot_crash_the_safe_rule(data: bytes, inner: bool) -> None:
    """Any bytes behind the selector, or behind a valid multiSend head, give a target or None."""
    config = SafeDelegatecallConfig()
    multi_send = at("0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761")
    call = exec_transaction(multi_send, 1, bytes.fromhex("8d80ff0a") + data)
    target = foreign_target(call if inner else bytes.fromhex("6a761202") + data, config)
    assert target is None or len(target) == 20


def test_the_worst_calldata_costs_little() -> None:
    """Offsets and lengths of 2^256, and a megabyte of one-byte calls, are done in 10 ms each."""
    config = SafeDelegatecallConfig()
    multi_send = at("0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761")
    head = bytes.fromhex("6a761202") + word(multi_send) + uint(0)
    bombs = [
        head + b"\xff" * 32 + uint(1) + b"\xff" * 600,
        exec_transaction(multi_send, 1, bytes.fromhex("8d80ff0a") + b"\xff" * 64),
        exec_transaction(
            multi_send, 1, bytes.fromhex("8d80ff0a") + uint(32) + uint(1 << 20) + bytes(1 << 20)
        ),
    ]
    for bomb in bombs:
        spent = []
        for _ in range(5):
            start = time.process_time()
            assert foreign_target(bomb, config) is None
            spent.append(time.process_time() - start)
        assert min(spent) < 0.01


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=100)), max_size=6))
def test_hostile_calldata_and_logs_crash_no_rule(junk: list[tuple[bytes, bytes]]) -> None:
    """Random calldata behind every selector and random data behind every topic are survived."""
    selectors = [
        "6a761202",
        "8d80ff0a",
        "4e71d92d",
        "13d98d13",
        "b214faa5",
        "d505accf",
        "",
        "30f28b7a",
        "e3ee160e",
    ]
    topics = [
        USDT_FROZEN, USDT_UNFROZEN, TORNADO_DEPOSIT, TORNADO_WITHDRAWAL, SAFE_SUCCESS,
        SANCTIONS_ADDED, AUTHORIZATION_USED, UPGRADED, OWNER_CHANGED, CHANGED_MASTER_COPY,
    ]  # fmt: skip
    txs: list[Tx] = []
    for data, log in junk:
        for n, selector in enumerate(selectors):
            emitter = [USDT, USDC, POOL, SANCTIONS_ORACLE][n % 4]
            logs = [(emitter, [topic, word(WALLETS[0])][: 1 + n % 2], log) for topic in topics]
            txs.append(
                Tx(
                    WALLETS[n % 5],
                    emitter,
                    1,
                    data=bytes.fromhex(selector) + data,
                    logs=logs,
                    receipt=n % 2 == 0,
                    salt=len(txs),
                    nonce=n,
                )
            )
    evaluated(rules(), Build().batch(Block(txs)))


def test_an_empty_batch_and_an_empty_block_are_nothing() -> None:
    """No blocks, or blocks of nothing, give no findings; only who counts blocks remembers them."""
    every = rules()
    told = [rule for rule in every if rule.id not in BLOCK_BY_BLOCK]
    before = [rule.digest() for rule in told]
    assert evaluated(every, Build().batch(), Build().batch(Block(), Block())) == []
    assert [rule.digest() for rule in told] == before


def test_rows_find_their_block_and_transaction() -> None:
    """Every flow finds its transaction, a withdrawal none, whatever the block numbers."""
    build = Build(number=2**40)
    txs = [Tx(WALLETS[0], USDT, tokens=[(USDT, WALLETS[0], WALLETS[1], 5)]), Tx(WALLETS[1], POOL)]
    blocks = [Block(txs, withdrawals=[(WALLETS[2], 1)]), Block(txs), Block(), Block(txs)]
    blocks[3].number = 2**40 + 10**6
    columns = Columns(build.batch(*blocks))
    assert columns.flow_tx.tolist() == [0, 0, 1, -1, 2, 2, 3, 4, 4, 5]
    assert columns.flow_row.tolist() == [0, 0, 0, 0, 1, 1, 1, 3, 3, 3]
    assert columns.tx_row(2**40, 1) == 1
    assert columns.tx_row(2**40, 2) == columns.tx_row(2**40 + 2, 0) == -1
    assert columns.tx_row(2**40 + 10**6, 1) == 5
    assert columns.flow_coin.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 1, 0]


def test_every_rule_has_its_own_id() -> None:
    """No two rules share an id; versions count from 1."""
    every = default_rules(LabelBook(), ETHEREUM)
    assert len({rule.id for rule in every}) == len(every) >= 14
    assert all(rule.version >= 1 for rule in every)


# --- real blocks


def unknown(batch: BlockBatch, first_serial: int) -> ScoredBatch:
    """A real batch about whose wallets nothing is known yet: the worst case for suppressors."""
    flow_facts = np.zeros(batch.flows.num_rows, FLOW_FACTS)
    approval_facts = np.zeros(batch.approvals.num_rows, APPROVAL_FACTS)
    for facts, table, sides in (
        (flow_facts, batch.flows, ("from", "to")),
        (approval_facts, batch.approvals, ("owner", "spender")),
    ):
        for side in sides:
            facts[f"{side}_first_seen"] = table["block_timestamp"].to_numpy()
            facts[f"{side}_nonce"] = -1
    return ScoredBatch(batch, first_serial, flow_facts, approval_facts, pa.table({}))


def real_batches(path: Path) -> Iterator[BlockBatch]:
    """Every block of a file, one to a batch."""
    for raw in JsonlSource(path, ETHEREUM).blocks():
        assert not isinstance(raw, BadBlock)
        yield decode_blocks(ETHEREUM, [raw], [True])


@pytest.mark.data
@pytest.mark.parametrize("name", ["run", "forks"])
def test_real_blocks_raise_no_critical_alert(shared_data: Path, name: str) -> None:
    """25 and 113 real mainnet blocks, nothing known of anybody: not one critical alert."""
    book = LabelBook(builtin_labels())
    for path in sorted((shared_data / "intel").iterdir()):
        book.load(path)
    every, policy = default_rules(book, ETHEREUM), AlertPolicy(ETHEREUM, labels=book)
    alerts: list[Alert] = []
    serial = 0
    for batch in real_batches(shared_data / "blocks" / f"{name}.blocks.jsonl.gz"):
        scored = unknown(batch, serial)
        findings: list[Finding] = [f for rule in every for f in rule.evaluate(scored)]
        alerts += policy.decide(findings, scored)
        serial += len(batch)
    critical = [a.sentence for a in alerts if a.severity == Severity.CRITICAL]
    assert critical == []
    assert serial in (25, 113)


@pytest.mark.data
def test_real_blocks_are_said_the_same_in_any_order_of_batches(shared_data: Path) -> None:
    """23 consecutive real blocks at once, one by one, or with every second one reverted once."""
    path = shared_data / "blocks" / "run.blocks.jsonl.gz"
    parts = list(islice(real_batches(path), 23))
    whole, single, shaken = (default_rules(LabelBook(builtin_labels()), ETHEREUM) for _ in range(3))
    at_once = evaluated(whole, unknown(BlockBatch.concat(parts), 0))
    one_by_one = evaluated(single, *[unknown(part, n) for n, part in enumerate(parts)])
    assert at_once == one_by_one
    chooser = random.Random(7)
    for n, part in enumerate(parts):
        evaluated(shaken, unknown(part, n))
        if chooser.random() < 0.5:
            for rule in shaken:
                rule.revert(n)
            evaluated(shaken, unknown(part, n))
    assert [r.digest() for r in whole] == [r.digest() for r in single]
    assert [r.digest() for r in whole] == [r.digest() for r in shaken]
