"""What the tests of campaigns read off the chain."""

from __future__ import annotations

from ingest.simulate import Campaign
from ingest.simulate.contracts import Call, Event
from tests.ingest.simulated import Mined, Run, account, text

ZERO = "0x" + "0" * 40
HALF = 2**255
MULTI_SENDS = {
    "0xa238cbeb142c10ef7ad8442c6d1f9e89e07e7761",
    "0x38869bf66a61cf6bdb996a6ae40d5853fd43b526",
    "0x40a2accbd92bca938b02010e17a5b8929b49130d",
    "0x9641d764fc13c8b624c04430c7356c1c7c8102e2",
}
CLAIMS = {
    "4e71d92d",
    "3158952e",
    "372500ab",
    "79372f9a",
    "12798972",
    "b88a802f",
    "5fba79f5",
    "af347b61",
    "a16f15c3",
    "2d66f063",
    "3f6b6f2e",
    "3884d635",
    "1249c58b",
}


def several(chain: Run, typology: str) -> list[Campaign]:
    """The campaigns of one kind, of which there must be three."""
    found = chain.campaigns(typology)
    assert len(found) >= 3
    return found


def role(campaign: Campaign, name: str) -> str:
    """The one address in that role."""
    (found,) = campaign.addresses[name]
    return found


def first_nonce(chain: Run, wallet: str) -> int:
    """The nonce of the first transaction that a wallet sends."""
    return min(int(m.transaction.nonce, 16) for m in chain.mined.values() if m.sender == wallet)


def grants(mined: Mined) -> list[tuple[str, str, bool]]:
    """(owner, spender, unlimited) of the approvals a transaction logs; permits included."""
    found = []
    for log in mined.logs:
        if log.topics[0] == text(Event.APPROVAL) and len(log.topics) == 3:
            amount = int(log.data, 16)
            found.append((account(log.topics[1]), account(log.topics[2]), amount >= HALF))
        elif log.topics[0] == text(Event.APPROVAL_FOR_ALL):
            found.append((account(log.topics[1]), account(log.topics[2]), True))
        elif log.topics[0] == text(Event.PERMIT2_PERMIT):
            found.append((account(log.topics[1]), account(log.topics[3]), True))
    return found


def delegated(mined: Mined) -> bool:
    """Whether it makes a Safe delegate to what is no MultiSend."""
    return (
        mined.selector == Call.EXEC_TRANSACTION.hex()
        and int(mined.word(3), 16) == 1
        and account(mined.word(0)) not in MULTI_SENDS
    )
