"""Gas spam: a few wallets fill blocks with costly calls of one contract, so that all pay more."""

from __future__ import annotations

from typing import Final

from ingest.simulate.contracts import ETHER, uint
from ingest.simulate.draft import Draft, Script, creation_address
from ingest.simulate.stage import Stage

CALLS: Final = 9  # a block


def script(stage: Stage) -> Script:
    """For twelve to eighteen blocks nine calls a block; in every other spam half of them fail."""
    rng = stage.rng
    attacker = stage.attacker()
    yield stage.fund(attacker, 40 * ETHER)
    yield stage.soon()
    creation = stage.attack(Draft(attacker, None, data=rng.randbytes(300)))
    yield creation
    target = creation_address(creation)
    stage.record.involve("spammed_contract", target)
    senders = [attacker]
    for _ in range(rng.randrange(1, 4)):
        helper = stage.attacker("helper")
        yield stage.funded_by(attacker, helper, 8 * ETHER)
        senders.append(helper)
    selector = rng.randbytes(4)
    for _ in range(rng.randrange(12, 19)):
        yield stage.next_block()
        for turn in range(CALLS):
            fails = stage.variant % 2 and turn % 2
            yield stage.attack(
                Draft(
                    senders[turn % len(senders)],
                    target,
                    0,
                    selector + uint(rng.getrandbits(200)),
                    status=0 if fails else 1,
                    gas_used=rng.randrange(330_000, 450_000),
                )
            )
