"""Lists, freezes, mixers, and money that came from them."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

ABOUT: Final[dict[str, About]] = {
    "sanctions_touch": About(
        "Value moved to or from a wallet that was under sanction at that time.",
        (
            "the list has a mistyped address, or the listing had ended: see the label's dates",
            "the receiver did nothing: whoever is paid has no say in it",
            "a contract that everybody uses was listed, and the subject only used it",
        ),
        "Check the entry with the list's own publisher, then report as your rules demand.",
        "sanctioned",
    ),
    "sanctions_list": About(
        "The sanctions oracle put this wallet on its list; it holds from the next block on.",
        ("the listing is corrected later: the oracle then takes the wallet off",),
        "Look for your own dealings with it before now; block it from now on.",
        "sanctioned",
    ),
    "issuer_freeze": About(
        "The issuer of a stablecoin froze this wallet, or it moved other coins afterwards.",
        (
            "a freeze by mistake or for a court case: issuers undo some within days",
            "the victim's own wallet, frozen to save what a thief has not taken yet",
        ),
        "Look at what came in shortly before the freeze, and follow what leaves now.",
        "frozen",
    ),
    "mixer_touch": About(
        "A wallet paid into a mixer or was paid out of one. This is exposure, not a verdict.",
        (
            "somebody who wants privacy: most who use a mixer are no criminals",
            "a relayer, which withdraws for others",
        ),
        "Look what the money was before, or what it does next: a contract deployment is a warning.",
        "launderer",
    ),
    "mixer_link": About(
        "A payout of a mixer may belong to this deposit: habits of their owner tie the two.",
        (
            "chance: another user of the pool with the same habit, as the probability says",
            "somebody who lets others guess wrongly on purpose",
        ),
        "Never take it for a fact; look for a second tie, and for what the recipient did next.",
        "launderer",
    ),
    "layering": About(
        "Much money went through one fresh wallet after another, each emptied within a day.",
        (
            "a desk or a custodian that uses a new wallet for each deal",
            "an owner who moves house in several steps",
            "deposit wallets of a service that is on no list yet",
        ),
        "Look where the money came from and where the chain ends; ask the service it ends at.",
        "launderer",
    ),
    "taint": About(
        "Stolen, phished or mixed money was paid to a service by this wallet.",
        (
            "a payee of the thief who knew nothing: goods were sold, a debt was paid",
            "a service's wallet that is on no list yet and mixes everybody's money",
        ),
        "Follow the path to its source; ask the service it went to for the account behind it.",
        "launderer",
    ),
}
