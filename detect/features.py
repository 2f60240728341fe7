"""The declared features: what each is, in order, and what it is where its input is missing.

Features of a flow are read before the flow is learnt: they depend on the state through the flow
before it. Features of a wallet are read at its first 8 events, the 12th, 16th, 24th … 64th, and
then every 64th, with that event in. All are finite, log-scaled where they count something, clipped,
and in [0, 1].

What a feature may not use: dates, absolute block numbers, absolute gas prices, an address's own
bytes. Amounts are compared within the chain's coin or within one token, never across tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Feature:
    """A declared feature. ``neutral`` is its value where the input is missing."""

    name: str
    meaning: str
    neutral: float = 0.0


FLOWS: Final = (
    Feature("amount", "amount of the chain's coin"),
    Feature("amount_vs_sender", "amount against what the sender usually sends", 0.5),
    Feature("amount_vs_receiver", "amount against what the receiver usually receives", 0.5),
    Feature("amount_vs_token", "token amount against the token's own distribution", 0.5),
    Feature("share_of_held", "share of the coins the sender is known to hold that leaves", 0.5),
    Feature("round_amount", "the amount has at most two significant digits"),
    Feature("zero_value", "nothing is moved"),
    Feature("same_amount", "the sender's amount before was exactly the same"),
    Feature("is_token", "a token moves, not the chain's coin"),
    Feature("token_holders", "how many have received this token"),
    Feature("token_age", "how long the token has been seen"),
    Feature("has_input", "the transaction calls with input data"),
    Feature("failed", "the transaction failed"),
    Feature("pair_events", "earlier flows between the two, either way"),
    Feature("sender_events", "earlier flows of the sender"),
    Feature("receiver_events", "earlier flows of the receiver"),
    Feature("sender_fan_out", "how many the sender has paid"),
    Feature("sender_fan_in", "how many have paid the sender"),
    Feature("receiver_fan_in", "how many have paid the receiver"),
    Feature("receiver_fan_out", "how many the receiver has paid"),
    Feature("sender_new_share", "share of the sender's payments that went to somebody new"),
    Feature("receiver_new_share", "share of the receiver's payments in that came from new payers"),
    Feature("receiver_fresh_share", "share of the receiver's payments in from fresh wallets"),
    Feature("sender_age", "time since the sender was first seen"),
    Feature("receiver_age", "time since the receiver was first seen"),
    Feature("sender_idle", "time since the sender's last event"),
    Feature("receiver_idle", "time since the receiver's last event"),
    Feature("sender_burst", "the sender's events within about the last hour"),
    Feature("receiver_burst", "the receiver's events within about the last hour"),
    Feature("hold_time", "how long the sender has held what it sends", 0.5),
    Feature("sender_pass_through", "share of the sender's income that left within a day"),
    Feature("receiver_pass_through", "share of the receiver's income that left within a day"),
    Feature("sender_failures", "share of the sender's flows that failed"),
    Feature("sender_zero_share", "share of the sender's coin flows that moved nothing"),
    Feature("sender_nonce", "how many transactions the sender has signed", 0.5),
    Feature("nonce_gap", "nonces of the sender that were skipped in view"),
    Feature("gas_price", "gas price against what is usual now", 0.5),
    Feature("gas_used_share", "share of the gas limit that was used", 0.5),
    Feature("sender_is_contract", "the sender is known to have code"),
    Feature("receiver_is_contract", "the receiver is known to have code"),
    Feature("is_mint", "out of nothing: a mint or a withdrawal"),
    Feature("is_burn", "to the zero address"),
)

WALLETS: Final = (
    Feature("events", "flows it took part in"),
    Feature("sent_share", "share of its flows that it sent"),
    Feature("fan_in", "how many paid it"),
    Feature("fan_out", "how many it paid"),
    Feature("fan_in_rate", "distinct payers per payment received"),
    Feature("fan_out_rate", "distinct payees per payment sent"),
    Feature("reciprocity", "share of its counterparties that paid and were paid"),
    Feature("age", "time since it was first seen"),
    Feature("event_rate", "events a day over its life"),
    Feature("mean_gap", "mean time between its events"),
    Feature("longest_gap", "longest time between two of its events"),
    Feature("burst_hour", "events within about the last hour"),
    Feature("burst_day", "events within about the last day"),
    Feature("in_value", "coins received"),
    Feature("out_value", "coins sent"),
    Feature("held_share", "share of what it received that it still holds"),
    Feature("pass_through", "share of its income that left within a day of the last income"),
    Feature("hold_time", "how long it holds what it sends", 0.5),
    Feature("in_amount", "usual amount received"),
    Feature("in_spread", "spread of the amounts received"),
    Feature("out_amount", "usual amount sent"),
    Feature("out_spread", "spread of the amounts sent"),
    Feature("equal_in_share", "share of amounts received that equal the one before"),
    Feature("equal_out_share", "share of amounts sent that equal the one before"),
    Feature("round_share", "share of its coin flows with round amounts"),
    Feature("zero_share", "share of its coin flows that moved nothing"),
    Feature("failure_share", "share of the flows it sent that failed"),
    Feature("fresh_in_share", "share of its payers' payments that came from fresh wallets"),
    Feature("fresh_out_share", "share of its payments that went to fresh wallets"),
    Feature("hub_in_share", "share of payments received from wallets that paid many"),
    Feature("hub_out_share", "share of payments to wallets that many pay"),
    Feature("payers_degree", "how many counterparties its payers have"),
    Feature("payers_age", "how long its payers have been seen"),
    Feature("payees_degree", "how many pay those it pays"),
    Feature("payees_age", "how long those it pays have been seen"),
    Feature("funder_age", "how long its first funder had been seen", 0.5),
    Feature("funder_fan_out", "how many its first funder had paid", 0.5),
    Feature("first_amount", "the first amount it received"),
    Feature("called_share", "share of coin flows received that call it with input"),
    Feature("calls_share", "share of coin flows it sent that call with input"),
    Feature("token_share", "share of its flows that are token flows"),
    Feature("is_contract", "it is known to have code"),
    Feature("creations", "contracts it created"),
    Feature("nonce_gaps", "share of its transactions before which nonces were skipped in view"),
    Feature("gas_price", "gas price it pays against what is usual at the time", 0.5),
)

RELATIONS: Final = (
    Feature("sends", "it sends this flow"),
    Feature("digits", "significant digits of the amount that moves"),
    Feature("largest_in", "the largest amount it received"),
    Feature("smallest_in", "the smallest amount it received"),
    Feature("largest_in_share", "share of its income that came at once"),
    Feature("incomes_before_spending", "payments received before it first spent"),
    Feature("sweep_share", "share of its spendings that took nine tenths of what it held"),
    Feature("spend_delay", "time from its first income to its first spending", 1.0),
    Feature("income_gap", "usual time between payments it received"),
    Feature("since_income", "time since it last received", 1.0),
    Feature("since_spending", "time since it last spent", 1.0),
    Feature("payers_share", "share of what its payers hold that they paid it"),
    Feature("payers_unfunded", "share of its payments from wallets nobody was seen to pay"),
    Feature("payers_income", "what its payers had received"),
    Feature("payers_idle", "how long its payers had done nothing"),
    Feature("payees_income", "what those it pays had received"),
    Feature("payees_events", "flows of those it pays"),
    Feature("other_risk", "risk of the other party of this flow"),
    Feature("funder_risk", "risk of its first funder when it was funded"),
    Feature("payers_risk", "risk of its payers"),
    Feature("payers_top_risk", "the highest risk of a payer"),
    Feature("payees_risk", "risk of those it pays"),
    Feature("payees_top_risk", "the highest risk of one it paid"),
    Feature("lure_risk", "risk of those that its payers pay"),
    Feature("sink_risk", "risk of those that pay the ones it pays"),
    Feature("payers_bad", "share of its payments from wallets known to be bad"),
    Feature("payees_bad", "share of its payments to wallets known to be bad"),
    Feature("lure_bad", "share of its payers' payees known to be bad"),
    Feature("sink_bad", "share of the payers of those it pays known to be bad"),
    Feature("wallet_anomaly", "its anomaly score", 0.5),
    Feature("flow_anomaly", "the anomaly score of this flow", 0.5),
)
"""What the risk model sees beside the features of a wallet and of the flow that it is scored at."""

FLOW_FEATURES: Final[tuple[str, ...]] = tuple(feature.name for feature in FLOWS)
"""The names of a flow's features, in column order."""

WALLET_FEATURES: Final[tuple[str, ...]] = tuple(feature.name for feature in WALLETS)
"""The names of a wallet's features, in column order."""

RELATION_FEATURES: Final[tuple[str, ...]] = tuple(feature.name for feature in RELATIONS)
"""The names of the relations, in column order."""

RISK_FEATURES: Final = (
    *WALLET_FEATURES,
    *RELATION_FEATURES,
    *(f"flow_{name}" for name in FLOW_FEATURES),
)
"""Everything the risk model sees, in column order: the flow's own features are the last."""

MEANINGS: Final = {feature.name: feature.meaning for feature in (*WALLETS, *FLOWS, *RELATIONS)} | {
    f"flow_{feature.name}": f"in this flow: {feature.meaning}" for feature in FLOWS
}

# --- what is kept of a wallet, a token and a pair ----------------------------------------------

WALLET: Final = np.dtype(
    [
        ("first_seen", np.uint32),
        ("last_seen", np.uint32),
        ("last_in", np.uint32),  # block time of the last income, 0 none
        ("nonce", np.uint32),  # highest nonce seen from it plus one, 0 unknown or none
        ("in_value", np.float64),
        ("out_value", np.float64),
        ("held", np.float64),  # what came in and has not left, in view
        ("funder", np.uint64),  # keyed hash of the first that paid it coins, 0 unknown
        ("held_since", np.float64),  # mean time at which what is held came in, by value
        ("passed", np.float64),  # what left within a day of an income
        ("last_in_value", np.float32),
        ("last_out_value", np.float32),
        ("score", np.float32),  # the wallet model's last score, NaN before the first
        ("payers", np.uint16, (4,)),  # fingerprints of the first four that paid it
        ("payees", np.uint16, (4,)),  # … and of the first four it paid
        ("in_mean", np.float32),  # of log(1 + amount), exponentially weighted
        ("in_variance", np.float32),
        ("out_mean", np.float32),
        ("out_variance", np.float32),
        ("hour", np.float32),  # events, decayed with a half-life of an hour
        ("day", np.float32),
        ("longest_gap", np.float32),
        ("hold_time", np.float32),  # of log(1 + seconds), exponentially weighted
        ("payers_degree", np.float32),
        ("payers_age", np.float32),
        ("payees_degree", np.float32),
        ("payees_age", np.float32),
        ("funder_age", np.float32),
        ("funder_fan_out", np.float32),
        ("first_amount", np.float32),
        ("gas_price", np.float32),  # log ratio to what is usual, exponentially weighted
        ("events", np.int32),
        ("sent", np.int32),
        ("received", np.int32),
        ("coin_sent", np.int32),
        ("coin_received", np.int32),
        ("valued_in", np.int32),  # coin flows that brought something
        ("valued_out", np.int32),
        ("peers", np.int32),  # distinct counterparties, either way
        ("fan_in", np.int32),
        ("fan_out", np.int32),
        ("fresh_in", np.int32),
        ("fresh_out", np.int32),
        ("hub_in", np.int32),
        ("hub_out", np.int32),
        ("equal_in", np.int32),
        ("equal_out", np.int32),
        ("round_amounts", np.int32),
        ("zero_values", np.int32),
        ("failed", np.int32),
        ("called", np.int32),
        ("calls", np.int32),
        ("token_flows", np.int32),
        ("held_flows", np.int32),  # sent flows for which a holding time was known
        ("creations", np.int32),
        ("nonce_gaps", np.int32),
        ("score_row", np.int32),  # within a pass: 1 + the row whose score it will take
        ("is_contract", np.bool_),
        # No padding anywhere: copies of it are undefined, and rows are compared byte for byte.
        ("unused", np.uint8, (3,)),
    ],
    align=True,
)

SUMMARY: Final = np.dtype(
    [
        ("funder", np.uint64),
        ("in_value", np.float32),
        ("out_value", np.float32),
        ("held", np.float32),
        ("passed", np.float32),
        ("first_seen", np.uint32),
        ("last_seen", np.uint32),
        ("last_in", np.uint32),
        ("nonce", np.uint32),
        ("sent", np.uint8),  # counts, as many of them as the scale in the flags says
        ("received", np.uint8),
        ("coin_sent", np.uint8),
        ("coin_received", np.uint8),
        ("valued_in", np.uint8),
        ("valued_out", np.uint8),
        ("peers", np.uint8),
        ("fan_in", np.uint8),
        ("fan_out", np.uint8),
        ("fresh_in", np.uint8),
        ("fresh_out", np.uint8),
        ("failed", np.uint8),
        ("zero_values", np.uint8),
        ("round_amounts", np.uint8),
        ("token_flows", np.uint8),
        ("flags", np.uint8),  # whether it has code, and the scale
    ],
    align=True,
)

TOKEN: Final = np.dtype(
    [
        ("first_seen", np.int64),
        ("last_seen", np.int64),
        ("mean", np.float64),  # of log(1 + amount), exponentially weighted
        ("variance", np.float64),
        ("flows", np.int32),
        ("holders", np.int32),  # distinct receivers, estimated
    ],
    align=True,
)

PAIR: Final = np.dtype(
    [
        ("key", np.uint64),  # 0: empty
        ("last_seen", np.int64),
        ("up", np.int32),  # flows from the party with the lower hash to the one with the higher
        ("down", np.int32),
    ],
    align=True,
)

RELATION: Final = np.dtype(
    [
        ("key", np.uint64),  # the wallet's keyed hash; 0: empty
        ("in_value", np.float64),
        ("out_value", np.float64),
        ("held", np.float64),
        ("early_value", np.float64),  # received within the life that is judged
        ("first_in", np.uint32),  # block times; 0 none
        ("last_in", np.uint32),
        ("first_out", np.uint32),
        ("last_out", np.uint32),
        ("last_seen", np.uint32),
        ("events", np.int32),
        ("incomes", np.int32),
        ("spendings", np.int32),
        ("before_spending", np.int32),
        ("sweeps", np.int32),
        ("received", np.int32),  # coin flows with somebody else
        ("sent", np.int32),
        ("payers", np.int32),  # of them with somebody new
        ("payees", np.int32),
        ("bad_payers", np.int32),
        ("bad_payees", np.int32),
        ("is_bad", np.int32),  # known to be
        ("largest_in", np.float32),
        ("smallest_in", np.float32),
        ("income_gap", np.float32),  # running means from here on
        ("payers_share", np.float32),
        ("payers_unfunded", np.float32),
        ("payers_income", np.float32),
        ("payers_idle", np.float32),
        ("payees_income", np.float32),
        ("payees_events", np.float32),
        ("payers_risk", np.float32),
        ("payees_risk", np.float32),
        ("lure_risk", np.float32),
        ("sink_risk", np.float32),
        ("payers_bad", np.float32),
        ("payees_bad", np.float32),
        ("lure_bad", np.float32),
        ("sink_bad", np.float32),
        ("risk", np.float32),  # its last risk, 0 before the first
        ("top_risk", np.float32),
        ("payers_top_risk", np.float32),
        ("payees_top_risk", np.float32),
        ("funder_risk", np.float32),
        ("met_payers_risk", np.float32),  # sums over those that were new
        ("met_payees_risk", np.float32),
        ("unused", np.uint32),  # no padding anywhere: rows are compared byte for byte
    ],
    align=True,
)
