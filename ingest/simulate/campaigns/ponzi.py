"""A token ponzi: what later investors pay goes to earlier ones, most of it to the first."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, Call, uint
from ingest.simulate.draft import Draft, Script, Wallet, creation_address
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import DAI, USDC, USDT, approve, transfer_log


def script(stage: Stage) -> Script:
    """Two founders and 38 to 50 investors; nine tenths of each payment are paid on at once."""
    rng = stage.rng
    founders = [stage.attacker("founder") for _ in range(2)]
    yield stage.fund(founders[0], 3 * ETHER)
    yield stage.soon()
    yield stage.funded_by(founders[0], founders[1], ETHER)
    creation = stage.attack(Draft(founders[0], None, data=rng.randbytes(900)))
    yield creation
    contract = creation_address(creation)
    stage.record.involve("contract", contract)
    token = (USDT, USDC, DAI)[stage.variant % 3]
    inside: list[Wallet] = []
    people = [*founders, *stage.victims(38, 50)]
    for wallet in people:
        yield stage.pause(0.8 / len(people))
        amount = token.units(rng.choice((200, 300, 500)))
        wallet.tokens[token.address] = max(wallet.tokens.get(token.address, 0), 2 * amount)
        yield stage.attack(approve(wallet, token.address, contract))
        logs = [transfer_log(token.address, wallet.address, contract, amount)]
        shares = [(founders[0], 35), (founders[1], 25)] if len(inside) > 2 else []
        if len(inside) > 2:
            shares.append((rng.choice(inside[2:16]), 30))
        for paid, percent in shares:
            part = amount * percent // 100
            paid.credit(token.address, part)
            logs.append(transfer_log(token.address, contract, paid.address, part))
        wallet.debit(token.address, amount)
        inside.append(wallet)
        yield stage.attack(Draft(wallet, contract, 0, Call.INVEST + uint(amount), logs))
    yield stage.soon()
    yield stage.cash_out(founders[0], token, founders[0].tokens[token.address] * 9 // 10)
