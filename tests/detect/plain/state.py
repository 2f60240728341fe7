"""What is remembered of a wallet and of a token."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Wallet:
    """A wallet, as of its last event."""

    address: bytes
    hashed: int
    first_seen: int
    last_seen: int
    last_in: int = 0
    nonce: int = 0  # the next one, 0 unknown
    in_value: float = 0.0
    out_value: float = 0.0
    held: float = 0.0
    held_since: float = 0.0
    passed: float = 0.0  # left within a day of an income
    last_in_value: float = 0.0
    last_out_value: float = 0.0
    score: float | None = None
    payers: list[int] = field(default_factory=list)  # fingerprints of the first four
    payees: list[int] = field(default_factory=list)
    in_mean: float = 0.0
    in_variance: float = 0.0
    out_mean: float = 0.0
    out_variance: float = 0.0
    hour: float = 0.0
    day: float = 0.0
    longest_gap: float = 0.0
    hold_time: float = 0.0
    payers_degree: float = 0.0
    payers_age: float = 0.0
    payees_degree: float = 0.0
    payees_age: float = 0.0
    funder_age: float = 0.0
    funder_fan_out: float = 0.0
    first_amount: float = 0.0
    gas_price: float = 0.0
    events: int = 0
    sent: int = 0
    received: int = 0
    coin_sent: int = 0
    coin_received: int = 0
    valued_in: int = 0
    valued_out: int = 0
    peers: int = 0
    fan_in: int = 0
    fan_out: int = 0
    fresh_in: int = 0
    fresh_out: int = 0
    hub_in: int = 0
    hub_out: int = 0
    equal_in: int = 0
    equal_out: int = 0
    round_amounts: int = 0
    zero_values: int = 0
    failed: int = 0
    called: int = 0
    calls: int = 0
    token_flows: int = 0
    held_flows: int = 0
    creations: int = 0
    nonce_gaps: int = 0
    is_contract: bool = False


@dataclass(slots=True)
class Token:
    """A token's own distribution."""

    address: bytes
    first_seen: int
    last_seen: int = 0
    mean: float = 0.0
    variance: float = 0.0
    flows: int = 0
    holders: int = 0
