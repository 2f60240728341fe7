"""Address poisoning: a lookalike of somebody the victim pays gets into the victim's history."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Log, Script, Wallet
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import STABLES, Token, batch, transfer, transfer_from, transfer_log


@dataclass(slots=True)
class _Mark:
    """A victim, whom it really pays in which token, and the lookalike of that peer."""

    victim: Wallet
    token: Token
    peer: bytes
    lookalike: bytes
    amount: int


def lookalike(stage: Stage, peer: bytes) -> bytes:
    """An address that agrees with ``peer`` in four to six hex digits at either end."""
    text, noise = peer.hex(), stage.rng.randbytes(20).hex()
    front, back = stage.rng.randrange(4, 7), stage.rng.randrange(4, 7)
    middle = noise[front : 40 - back]
    if middle == text[front : 40 - back]:
        raise AssertionError("thirty random digits agreed")
    return bytes.fromhex(text[:front] + middle + text[40 - back :])


def _plain_address(stage: Stage) -> bytes:
    """A random address without zeros at its ends, which vanity addresses share by chance."""
    while True:
        address = stage.rng.randbytes(20)
        text = address.hex()
        if "0" not in text[:6] + text[-6:]:
            return address


def script(stage: Stage) -> Script:
    """Poison eight to fourteen victims by zero, dust and fake transfers; some fall for it."""
    world, rng = stage.world, stage.rng
    operator, collector = stage.attacker(), stage.attacker("collector")
    contract, fake = world.contract(), world.contract()
    stage.record.involve("attack_contract", contract)
    stage.record.involve("fake_token", fake)
    yield stage.fund(operator, ETHER)
    marks = []
    for victim in stage.victims(8, 14):
        token = STABLES[rng.randrange(2)]
        amount = token.units(rng.randrange(500, 9_000))
        victim.tokens[token.address] = max(world.holding(victim, token), 4 * amount)
        peer = _plain_address(stage)
        marks.append(_Mark(victim, token, peer, lookalike(stage, peer), amount))
        stage.record.involve("lookalike", marks[-1].lookalike)
        stage.record.involve("imitated", peer)
    for start in range(0, len(marks), 4):
        group = marks[start : start + 4]
        for mark in group:
            yield transfer(mark.victim, mark.token.address, mark.peer, mark.amount)
        for kind in range(3):
            yield stage.soon(6)
            logs = [_poison(mark, (kind + stage.variant) % 3, fake) for mark in group]
            yield stage.attack(batch(operator, contract, logs))
        yield stage.pause(0.06)
    yield stage.attack(
        transfer_from(
            operator, marks[0].token.address, marks[0].victim.address, marks[0].lookalike, 0
        )
    )
    for mark in rng.sample(marks, rng.randrange(2, 4)):
        yield stage.pause(0.06)
        yield stage.attack(transfer(mark.victim, mark.token.address, mark.lookalike, mark.amount))
        stage.record.involve("fooled", mark.victim.address)
        yield stage.soon(30)
        collector.credit(mark.token.address, mark.amount)
        yield stage.attack(
            transfer_from(
                operator, mark.token.address, mark.lookalike, collector.address, mark.amount
            )
        )


def _poison(mark: _Mark, kind: int, fake: bytes) -> Log:
    """One log: a zero transfer of the victim's, dust to it, or a fake token's echo of a payment."""
    victim = mark.victim.address
    if kind == 0:
        return transfer_log(mark.token.address, victim, mark.lookalike, 0)
    if kind == 1:
        dust = int(str(mark.amount)[:3])  # starts as the genuine amount does
        return transfer_log(mark.token.address, mark.lookalike, victim, dust)
    return transfer_log(fake, victim, mark.lookalike, mark.amount)
