"""Dust and spam: worthless pieces for more than a hundred strangers, by batch or one by one."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, Call
from ingest.simulate.draft import Draft, Script, Wallet, creation_address
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import nft_log, pay, transfer_log

LINK = b"Voucher 5000$ | visit https://claims-usd.example"
BATCH = 24


def script(stage: Stage) -> Script:
    """A token named like a link, NFTs, or a few wei each, to 120 to 200 strangers in hours."""
    sender = stage.attacker()
    yield stage.fund(sender, ETHER)
    yield stage.soon()
    targets = stage.victims(120, 160)
    kind = stage.variant % 3
    if kind == 2:
        for target in targets:
            yield stage.pause(0.5 / len(targets))
            yield stage.attack(pay(sender, target.address, stage.rng.randrange(1, 10_000)))
        return
    creation = stage.attack(Draft(sender, None, data=stage.rng.randbytes(300) + LINK))
    yield creation
    token = creation_address(creation)
    stage.record.involve("token", token)
    for start in range(0, len(targets), BATCH):
        yield stage.pause(0.05)
        yield stage.attack(_drop(sender, token, targets[start : start + BATCH], kind, start))


def _drop(sender: Wallet, token: bytes, targets: list[Wallet], kind: int, first: int) -> Draft:
    """One transaction that gives each something: token units, or an item of a collection."""
    if kind:
        logs = [
            nft_log(token, bytes(20), target.address, first + item)
            for item, target in enumerate(targets)
        ]
    else:
        logs = [transfer_log(token, sender.address, t.address, 5_000 * ETHER) for t in targets]
    words = b"".join(log.topics[2] for log in logs)
    return Draft(sender, token, 0, Call.MULTICALL + words, logs)
