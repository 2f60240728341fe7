"""The chain itself: forks, slots, finality, fees that cannot be."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

_NODE: Final = "your node is on a minority branch or lost its peers: ask another one"

ABOUT: Final[dict[str, About]] = {
    "double_spend": About(
        "A payment was orphaned, and the same sender spent the money on something else.",
        (
            "a user who raised the fee and changed the amount while the chain forked",
            _NODE,
        ),
        "Whoever relied on the first payment was not paid: stop the delivery, or ask again.",
        "scam",
    ),
    "dropped_by_reorg": About(
        "A payment was orphaned and has not come back.",
        ("it waits in the mempool for lower fees and comes back later", _NODE),
        "Whoever relied on it has not been paid: ask the sender to pay again.",
    ),
    "reorg_depth": About(
        "The chain reorganised deeper than it does on an ordinary day.",
        (_NODE, "a client's bug or a network split without any intent"),
        "Wait for finality before large amounts count; see which payments were orphaned.",
    ),
    "missed_slots": About(
        "More slots were missed than chance explains.",
        (_NODE, "an outage of one client or one large operator"),
        "Expect slower blocks, wait for finality before large amounts count.",
    ),
    "finality_delay": About(
        "Finality is further behind than it is on an ordinary day.",
        (_NODE, "an outage of one client or one large operator"),
        "Let nothing count that is not final; watch for an inactivity leak.",
    ),
    "inactivity_leak": About(
        "There was no finality for so long that absent validators are losing their stake.",
        (_NODE,),
        "A third of the validators is absent or elsewhere: stop relying on new blocks.",
    ),
    "builder_majority": About(
        "One builder made more than half of the blocks: it can keep transactions out for long.",
        (
            "a builder with several names in its blocks, or several with one fee recipient",
            "an outage of the other builders' relays",
        ),
        "It cannot fork the chain. Send what must get in soon to several builders.",
    ),
    "builder_shift": About(
        "Who builds the blocks changed much in a short time.",
        (
            "a builder that moved to another fee recipient",
            "an outage of a relay, or a new builder that pays validators more",
        ),
        "See who took the share, and whether anything is kept out of its blocks.",
    ),
    "empty_blocks": About(
        "Blocks are empty one after another, though there is enough to put into them.",
        (
            "a bug of one builder or one client",
            "a quiet chain, on which nobody has sent anything",
        ),
        "See whose blocks these are; expect payments to wait.",
    ),
    "wrong_fee": About(
        "A block's fees are not those that follow from its parent.",
        (
            "a fork with new fee rules that this release does not know: update it",
            _NODE,
        ),
        "Ask another node for the same block before you believe it.",
    ),
    "disruption": About(
        "Several signs of trouble together make a disruption of the chain likely soon.",
        ("a popular mint or an airdrop that fills blocks for minutes",),
        "Look at the signs it names, and at the forecast's stated skill, before acting on it.",
    ),
}
