"""What a campaign's script works with: the world, its own record, its own chance and pace."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ingest.simulate.draft import Draft, Pause, Wallet
from ingest.simulate.payments import to_exchange
from ingest.simulate.tokens import Token, ether, pay
from ingest.simulate.truth import Record
from ingest.simulate.world import World


@dataclass(frozen=True, slots=True)
class Stage:
    """One instance of a campaign.

    ``variant`` counts the instances of its kind from 0, and ``span`` is how many blocks it may
    take. Scripts mark what belongs to the attack with ``attack``; other drafts are its innocent
    surroundings and not in the truth.
    """

    world: World
    record: Record
    rng: random.Random
    span: int
    variant: int

    def attack(self, draft: Draft) -> Draft:
        """The draft, noted as a part of the campaign."""
        draft.record = self.record
        return draft

    def pause(self, share: float) -> Pause:
        """A pause of about that share of the span."""
        return Pause(int(self.span * share * self.rng.uniform(0.5, 1.2)))

    def soon(self, most: int = 8) -> Pause:
        """A pause of a few blocks; shorter, or none, in a short run."""
        return Pause(min(self.span // 40, self.rng.randrange(1, most + 1)))

    def next_block(self) -> Pause:
        """The very next block."""
        return Pause(1)

    def fund(self, wallet: Wallet, value: int) -> Draft:
        """An exchange pays out to a wallet of the campaign: innocent in itself."""
        return self.world.withdrawal(wallet, value)

    def funded_by(self, funder: Wallet, wallet: Wallet, value: int) -> Draft:
        """A wallet of the campaign pays another one of it, as a part of the attack."""
        wallet.credit(None, value)
        return self.attack(pay(funder, wallet.address, value))

    def victims(self, low: int, high: int) -> list[Wallet]:
        """Between ``low`` and ``high`` users, noted as victims."""
        found = self.world.users(self.rng.randrange(low, high + 1))
        self.record.involve("victim", *(v.address for v in found))
        return found

    def attacker(self, role: str = "attacker") -> Wallet:
        """A wallet never seen before, noted in that role."""
        wallet = self.world.fresh()
        self.record.involve(role, wallet.address)
        return wallet

    def loot(self, victim: Wallet, token: Token, dollars: float) -> int:
        """All the victim has of a token: about that much where it was never asked for."""
        if victim.tokens.get(token.address, 0) < token.units(dollars / 4):
            victim.tokens[token.address] = token.units(dollars * self.rng.uniform(0.7, 1.6))
        return victim.tokens[token.address]

    def purse(self, victim: Wallet, dollars: float) -> int:
        """Wei worth about that much, which the victim has."""
        value = ether(dollars * self.rng.lognormvariate(0.0, 0.5))
        victim.balance = max(victim.balance, 2 * value)
        return value

    def cash_out(self, wallet: Wallet, token: Token | None, amount: int) -> Draft:
        """The wallet pays into its deposit address at an exchange, as a part of the attack."""
        draft = self.attack(to_exchange(self.world, wallet, token, amount))
        if wallet.deposit is not None:
            self.record.involve("deposit_address", wallet.deposit.address)
        return draft
