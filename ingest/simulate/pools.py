"""Uniswap V2-shaped pools: constant product, 0.3 % fee, and the logs a router leaves.

Reserves are kept exactly, so that every Sync follows from the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.simulate.contracts import At, Call, Event, addresses, pad, uint
from ingest.simulate.draft import Draft, Log, Wallet
from ingest.simulate.tokens import ZERO, Token, transfer_log


@dataclass(slots=True)
class Pool:
    """A pair of a token with WETH; ``ether`` and ``tokens`` are its reserves."""

    address: bytes
    token: Token
    ether: int = 0
    tokens: int = 0
    shares: dict[bytes, int] = field(default_factory=dict)  # liquidity by provider
    supply: int = 0

    def _sides(self, ether: int, tokens: int) -> bytes:
        """Two amounts in the order of the pair: the lower address is token0."""
        weth_first = self.token.address > At.WETH
        return uint(ether) + uint(tokens) if weth_first else uint(tokens) + uint(ether)

    def _sync(self) -> Log:
        return Log(self.address, (Event.V2_SYNC,), self._sides(self.ether, self.tokens))

    def _swap(self, paid: tuple[int, int], got: tuple[int, int], target: bytes) -> Log:
        topics = (Event.V2_SWAP, pad(At.V2_ROUTER), pad(target))
        return Log(self.address, topics, self._sides(*paid) + self._sides(*got))

    def quote(self, paid: int, reserve_in: int, reserve_out: int) -> int:
        """What the pair gives for ``paid``, after its fee of 0.3 %."""
        net = paid * 997
        return net * reserve_out // (reserve_in * 1000 + net)

    def buy_logs(self, payer: bytes, target: bytes, paid: int) -> tuple[int, list[Log]]:
        """Swap wrapped ether of ``payer`` for the token; returns the amount and the logs."""
        got = self.quote(paid, self.ether, self.tokens)
        self.ether += paid
        self.tokens -= got
        return got, [
            transfer_log(At.WETH, payer, self.address, paid),
            transfer_log(self.token.address, self.address, target, got),
            self._sync(),
            self._swap((paid, 0), (0, got), target),
        ]

    def sell_logs(self, payer: bytes, target: bytes, paid: int) -> tuple[int, list[Log]]:
        """Swap the token of ``payer`` for wrapped ether; returns the amount and the logs."""
        got = self.quote(paid, self.tokens, self.ether)
        self.tokens += paid
        self.ether -= got
        return got, [
            transfer_log(self.token.address, payer, self.address, paid),
            transfer_log(At.WETH, self.address, target, got),
            self._sync(),
            self._swap((0, paid), (got, 0), target),
        ]

    def buy(self, buyer: Wallet, paid: int, deadline: int) -> Draft:
        """``swapExactETHForTokens`` through the router."""
        wrap = Log(At.WETH, (Event.WETH_DEPOSIT, pad(At.V2_ROUTER)), uint(paid))
        got, logs = self.buy_logs(At.V2_ROUTER, buyer.address, paid)
        buyer.debit(None, paid)
        buyer.credit(self.token.address, got)
        path = addresses([At.WETH, self.token.address])
        words = uint(got * 99 // 100) + uint(128) + pad(buyer.address) + uint(deadline)
        data = Call.SWAP_ETH_FOR_TOKENS + words + path
        return Draft(buyer, At.V2_ROUTER, paid, data, [wrap, *logs], 128_000 + got % 9_000)

    def sell(self, seller: Wallet, paid: int, deadline: int) -> Draft:
        """``swapExactTokensForETH`` through the router."""
        got, logs = self.sell_logs(seller.address, At.V2_ROUTER, paid)
        unwrap = Log(At.WETH, (Event.WETH_WITHDRAWAL, pad(At.V2_ROUTER)), uint(got))
        seller.debit(self.token.address, paid)
        seller.credit(None, got)
        path = addresses([self.token.address, At.WETH])
        words = uint(paid) + uint(got * 99 // 100) + uint(160) + pad(seller.address)
        data = Call.SWAP_TOKENS_FOR_ETH + words + uint(deadline) + path
        return Draft(seller, At.V2_ROUTER, 0, data, [*logs, unwrap], 132_000 + got % 9_000)

    def add(self, provider: Wallet, ether: int, tokens: int, deadline: int) -> Draft:
        """``addLiquidityETH``; the first call creates the pair."""
        logs = []
        if not self.supply:
            pair = sorted((self.token.address, At.WETH))
            topics = (Event.PAIR_CREATED, pad(pair[0]), pad(pair[1]))
            logs.append(Log(At.V2_FACTORY, topics, pad(self.address) + uint(400_000)))
        minted = ether if not self.supply else self.supply * ether // self.ether
        self.ether += ether
        self.tokens += tokens
        self.supply += minted
        self.shares[provider.address] = self.shares.get(provider.address, 0) + minted
        provider.debit(None, ether)
        provider.debit(self.token.address, tokens)
        logs += [
            transfer_log(self.token.address, provider.address, self.address, tokens),
            Log(At.WETH, (Event.WETH_DEPOSIT, pad(At.V2_ROUTER)), uint(ether)),
            transfer_log(At.WETH, At.V2_ROUTER, self.address, ether),
            transfer_log(self.address, ZERO, provider.address, minted),
            self._sync(),
            Log(self.address, (Event.V2_MINT, pad(At.V2_ROUTER)), self._sides(ether, tokens)),
        ]
        words = pad(self.token.address) + uint(tokens) + uint(tokens) + uint(ether)
        data = Call.ADD_LIQUIDITY_ETH + words + pad(provider.address) + uint(deadline)
        return Draft(provider, At.V2_ROUTER, ether, data, logs, 190_000)

    def remove(self, provider: Wallet, share: float, deadline: int) -> Draft:
        """``removeLiquidityETH`` of a share of what the provider has put in."""
        held = self.shares[provider.address]
        burnt = min(held, int(held * share))
        ether = self.ether * burnt // self.supply
        tokens = self.tokens * burnt // self.supply
        self.ether -= ether
        self.tokens -= tokens
        self.supply -= burnt
        self.shares[provider.address] -= burnt
        provider.credit(None, ether)
        provider.credit(self.token.address, tokens)
        topics = (Event.V2_BURN, pad(At.V2_ROUTER), pad(At.V2_ROUTER))
        logs = [
            transfer_log(self.address, provider.address, self.address, burnt),
            transfer_log(self.address, self.address, ZERO, burnt),
            transfer_log(self.token.address, self.address, At.V2_ROUTER, tokens),
            transfer_log(At.WETH, self.address, At.V2_ROUTER, ether),
            self._sync(),
            Log(self.address, topics, self._sides(ether, tokens)),
            transfer_log(self.token.address, At.V2_ROUTER, provider.address, tokens),
            Log(At.WETH, (Event.WETH_WITHDRAWAL, pad(At.V2_ROUTER)), uint(ether)),
        ]
        words = pad(self.token.address) + uint(burnt) + uint(0) + uint(0)
        data = Call.REMOVE_LIQUIDITY_ETH + words + pad(provider.address) + uint(deadline)
        return Draft(provider, At.V2_ROUTER, 0, data, logs, 210_000)
