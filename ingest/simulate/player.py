"""The player of attacks on a development node: sends, waits until it is mined, notes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from web3 import Web3
from web3.exceptions import Web3Exception
from web3.types import Nonce, TxParams

from chainwarden.errors import EndpointError
from ingest.simulate.contracts import ETHER, GWEI, UNLIMITED, At, Call, pad, uint
from ingest.simulate.draft import Keyring, Wallet
from ingest.simulate.evm import erc20_init_code
from ingest.simulate.playing import Played

VICTIMS: Final = 10
REQUEST_SECONDS: Final = 20
SUPPLY: Final = 10**9 * ETHER
NEEDED: Final = "play needs a development node such as anvil, with unlocked accounts"


def play_on(url: str, campaign: str, seed: int, pace_seconds: float) -> Played:
    """``play`` of a campaign that is in ``SCRIPTS``."""
    try:
        player = _Player(url, seed, pace_seconds)
        SCRIPTS[campaign](player)
        return player.played(campaign)
    except Web3Exception as error:
        raise EndpointError(f"{_host(url)} refused: {error}", hint=NEEDED) from error
    except OSError as error:
        # Not chained: the cause's text has the whole address in it, and a key may be part of that.
        name = type(error).__name__
        raise EndpointError(f"{_host(url)} does not answer ({name})", hint=NEEDED) from None


@dataclass(slots=True)
class _Log:
    attack: list[str] = field(default_factory=list)
    benign: list[str] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    roles: dict[str, list[str]] = field(default_factory=dict)


class _Player:
    """Sends transactions one by one and notes them."""

    def __init__(self, url: str, seed: int, pace_seconds: float) -> None:
        options = {"timeout": REQUEST_SECONDS}
        self._web3 = Web3(Web3.HTTPProvider(url, request_kwargs=options))
        self._pace = pace_seconds
        self._keys = Keyring(seed)
        self._log = _Log()
        self.rng = random.Random(f"play {seed}")
        self._accounts = list(self._web3.eth.accounts)
        if len(self._accounts) < 2:
            raise EndpointError(
                f"{_host(url)} has no unlocked accounts",
                hint="start anvil, or another development node",
            )
        self._chain_id = self._web3.eth.chain_id

    def fresh(self, role: str) -> Wallet:
        """An account that has never been used, noted in that role."""
        wallet = self._keys.wallet()
        while self._nonce(wallet) or self.balance(wallet):
            wallet = self._keys.wallet()  # the same seed was played on this node before
        self._log.roles.setdefault(role, []).append(_text(wallet.address))
        return wallet

    def send(self, sender: Wallet, to: bytes | None, value: int = 0, data: bytes = b"") -> int:
        """Sign and send a part of the attack; returns the gas that it cost, in wei."""
        transaction = self._fields(to, value, data)
        transaction["nonce"] = Nonce(sender.nonce)
        transaction["gas"] = 1_000_000 if to is None else 200_000
        if to is not None and not data:
            transaction["gas"] = 21_000
        base_fee = self._web3.eth.get_block("latest").get("baseFeePerGas", GWEI)
        transaction["maxFeePerGas"] = Web3.to_wei(2 * base_fee + GWEI, "wei")
        transaction["maxPriorityFeePerGas"] = Web3.to_wei(GWEI, "wei")
        transaction["chainId"] = self._chain_id
        account = self._web3.eth.account
        signed = account.sign_transaction(transaction, sender.key.secret)
        sender.nonce += 1
        digest = self._web3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = self._mined(digest, self._log.attack)
        return int(receipt["gasUsed"] * receipt["effectiveGasPrice"])

    def node_sends(self, account: int, to: bytes | None, value: int = 0, data: bytes = b"") -> Any:
        """One of the node's accounts sends something innocent; returns the receipt."""
        transaction = self._fields(to, value, data)
        transaction["from"] = self._accounts[account % len(self._accounts)]
        return self._mined(self._web3.eth.send_transaction(transaction), self._log.benign)

    def account(self, number: int) -> bytes:
        """The address of one of the node's accounts."""
        return bytes.fromhex(self._accounts[number % len(self._accounts)][2:])

    def token(self) -> bytes:
        """Deploy a token from the node's first account; it owns the whole supply."""
        receipt = self.node_sends(0, None, data=erc20_init_code(SUPPLY))
        address = bytes.fromhex(receipt["contractAddress"][2:])
        self._log.roles["token"] = [_text(address)]
        return address

    def _nonce(self, wallet: Wallet) -> int:
        return self._web3.eth.get_transaction_count(Web3.to_checksum_address(wallet.address))

    def balance(self, wallet: Wallet) -> int:
        """The wallet's ether, in wei."""
        return int(self._web3.eth.get_balance(Web3.to_checksum_address(wallet.address)))

    def traffic(self, token: bytes | None = None) -> None:
        """Something innocent: a payment, a transfer, or an approval of Permit2."""
        payer, payee = self.rng.sample(range(len(self._accounts)), 2)
        kind = self.rng.randrange(3) if token else 0
        if kind == 0:
            self.node_sends(payer, self.account(payee), self.rng.randrange(1, 500) * ETHER // 1_000)
        elif kind == 1:
            amount = self.rng.randrange(1, 100) * ETHER
            data = Call.TRANSFER + pad(self.account(payee)) + uint(amount)
            self.node_sends(0, token, data=data)
        else:
            data = Call.APPROVE + pad(At.PERMIT2) + uint(self.rng.randrange(1, 100) * ETHER)
            self.node_sends(payer, token, data=data)

    def played(self, campaign: str) -> Played:
        """What has been sent so far."""
        return Played(
            campaign=campaign,
            addresses={role: tuple(who) for role, who in self._log.roles.items()},
            transactions=tuple(self._log.attack),
            benign=tuple(self._log.benign),
            first_block=min(self._log.blocks),
            last_block=max(self._log.blocks),
        )

    def _fields(self, to: bytes | None, value: int, data: bytes) -> TxParams:
        fields: TxParams = {"value": Web3.to_wei(value, "wei"), "data": Web3.to_bytes(data)}
        if to is not None:
            fields["to"] = Web3.to_checksum_address(to)
        return fields

    def _mined(self, digest: bytes, log: list[str]) -> Any:
        receipt = self._web3.eth.wait_for_transaction_receipt(
            Web3.to_hex(digest), timeout=6 * REQUEST_SECONDS, poll_latency=0.02
        )
        if not receipt["status"]:
            raise EndpointError(f"0x{bytes(digest).hex()} reverted, which it must not")
        log.append(_text(bytes(digest)))
        self._log.blocks.append(receipt["blockNumber"])
        if self._pace > 0:
            time.sleep(self._pace)
        return receipt


def _host(url: str) -> str:
    """Host and port: the rest of an endpoint's address may hold a key."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _text(data: bytes) -> str:
    return "0x" + data.hex()


# --- the campaigns -----------------------------------------------------------------------------


def _victims(player: _Player, ether: float) -> list[Wallet]:
    """Fresh victims, funded by the node's accounts with a little more than they will lose."""
    victims = []
    for number in range(VICTIMS):
        victim = player.fresh("victim")
        player.node_sends(number, victim.address, int(ether * ETHER * player.rng.uniform(1, 2)))
        victims.append(victim)
    return victims


def _cash_out(player: _Player, attacker: Wallet) -> None:
    """Nearly all leaves for two fresh accounts."""
    out = player.balance(attacker) * 95 // 100
    for part in (out * 6 // 10, out * 4 // 10):
        player.send(attacker, player.fresh("cash_out").address, part)


def _native_claim(player: _Player) -> None:
    attacker = player.fresh("attacker")
    for victim in _victims(player, 1.0):
        value = player.balance(victim) * 8 // 10
        player.send(victim, attacker.address, value, Call.CLAIM)
        player.traffic()
    _cash_out(player, attacker)


def _phishing_wallet(player: _Player) -> None:
    attacker = player.fresh("attacker")
    for victim in _victims(player, 2.0):
        player.send(victim, attacker.address, player.balance(victim) * 7 // 10)
        player.traffic()
    _cash_out(player, attacker)


def _ice_phishing(player: _Player) -> None:
    token = player.token()
    spender, collector = player.fresh("attacker"), player.fresh("collector")
    player.node_sends(1, spender.address, ETHER)
    victims = _victims(player, 0.1)
    for victim in victims:
        amount = player.rng.randrange(500, 20_000) * ETHER
        victim.tokens[token] = amount
        player.node_sends(0, token, data=Call.TRANSFER + pad(victim.address) + uint(amount))
    for victim in victims:
        data = Call.APPROVE + pad(spender.address) + uint(UNLIMITED)
        player.send(victim, token, data=data)
        player.traffic(token)
        words = pad(victim.address) + pad(collector.address) + uint(victim.tokens[token])
        player.send(spender, token, data=Call.TRANSFER_FROM + words)


SCRIPTS: Final[dict[str, Callable[[_Player], None]]] = {
    "native_claim": _native_claim,
    "ice_phishing": _ice_phishing,
    "phishing_wallet": _phishing_wallet,
}
"""How each of ``playing.PLAYABLE`` goes."""
