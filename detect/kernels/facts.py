"""What is known of the parties of a flow or an approval, as of the event."""

from __future__ import annotations

import numpy as np

from detect.compiled import inlined
from detect.kernels.arrays import Events, Seen, State
from detect.kernels.table import find, siphash


@inlined
def read_approval(events: Events, state: State, a: int, out: Seen) -> None:
    """What is known of an approval's parties."""
    now = events.approval_time[a]
    fact = out.approval_facts[a]
    rows = state.wallets.rows
    fact.owner_first_seen = fact.spender_first_seen = now
    fact.owner_nonce = fact.spender_nonce = -1
    fact.owner_score = fact.spender_score = np.nan
    key = events.approval_owner[a]
    row = find(state.wallets.keys, state.wallets.slots, key, siphash(state.wallets.secret, key))
    if row >= 0:
        w = rows[row]
        fact.owner_first_seen = w.first_seen
        fact.owner_events = w.events
        fact.owner_sent = w.sent
        fact.owner_received = w.received
        fact.owner_counterparties = w.peers
        fact.owner_nonce = int(w.nonce) - 1
        fact.owner_is_contract = w.is_contract
        fact.owner_score = w.score
        fact.owner_funder = w.funder
        fact.owner_funder_fan_out = w.funder_fan_out
        fact.owner_held = w.held
        out.owner_score_row[a] = w.score_row
    key = events.approval_spender[a]
    row = find(state.wallets.keys, state.wallets.slots, key, siphash(state.wallets.secret, key))
    if row >= 0:
        w = rows[row]
        fact.spender_first_seen = w.first_seen
        fact.spender_events = w.events
        fact.spender_sent = w.sent
        fact.spender_received = w.received
        fact.spender_counterparties = w.peers
        fact.spender_nonce = int(w.nonce) - 1
        fact.spender_is_contract = w.is_contract
        fact.spender_score = w.score
        fact.spender_funder = w.funder
        fact.spender_funder_fan_out = w.funder_fan_out
        fact.spender_held = w.held
        out.spender_score_row[a] = w.score_row


@inlined
def read_facts(state: State, sender: int, receiver: int, now: int, i: int, out: Seen) -> None:
    """What is known of a flow's parties before it; row -1 is the zero address."""
    fact = out.flow_facts[i]
    rows = state.wallets.rows
    fact.from_first_seen = fact.to_first_seen = now
    fact.from_nonce = fact.to_nonce = -1
    fact.from_score = fact.to_score = fact.score = np.nan
    if sender >= 0:
        w = rows[sender]
        fact.from_first_seen = w.first_seen
        fact.from_events = w.events
        fact.from_sent = w.sent
        fact.from_received = w.received
        fact.from_counterparties = w.peers
        fact.from_nonce = int(w.nonce) - 1
        fact.from_is_contract = w.is_contract
        fact.from_score = w.score
        fact.from_funder = w.funder
        fact.from_funder_fan_out = w.funder_fan_out
        fact.from_held = w.held
        out.from_score_row[i] = w.score_row
    if receiver >= 0:
        w = rows[receiver]
        fact.to_first_seen = w.first_seen
        fact.to_events = w.events
        fact.to_sent = w.sent
        fact.to_received = w.received
        fact.to_counterparties = w.peers
        fact.to_nonce = int(w.nonce) - 1
        fact.to_is_contract = w.is_contract
        fact.to_score = w.score
        fact.to_funder = w.funder
        fact.to_funder_fan_out = w.funder_fan_out
        fact.to_held = w.held
        out.to_score_row[i] = w.score_row
