"""What the ledger says of the risk models when it is asked, and how it takes a promotion."""

from __future__ import annotations

import msgspec

from chainwarden.errors import RequestRefused
from store.answers import Answer
from store.label_answers import checked_text
from store.ledger import Ledger


class PromotionWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody's word that the challenger shall be the champion, as it is posted.

    ``configuration`` is which one, or how its digest begins: whoever names it cannot promote
    another that was put in its place since. Empty is whichever there is.
    """

    author: str = ""
    note: str = ""
    configuration: str = ""


def models_answer(ledger: Ledger) -> Answer:
    """``{block, champion, challenger, comparison, promotions}``: as of the last block committed.

    See ``detect.challenger``; all but the promotions are None where there is no risk model.
    """
    cursor = ledger.cursor()
    head = cursor.head if cursor else None
    told = ledger.model_figures() or {"champion": None, "challenger": None, "comparison": None}
    return {
        "block": None if head is None else head.number,
        **told,
        "promotions": [
            {
                "said_at": one.said_at,
                "by": one.by,
                "why": one.why,
                "in_force_from": one.number,
                "configuration": one.configuration,
                "parameters": one.parameters,
            }
            for one in ledger.promotions()
        ],
    }


def promote(ledger: Ledger, said: PromotionWord) -> Answer:
    """Make the challenger the champion from the next block on.

    Raises RequestRefused where there is no challenger, or another one than is named, or where a
    promotion waits for its block.
    """
    author, note = checked_text("author", said.author), checked_text("note", said.note)
    told = ledger.model_figures()
    challenger = told["challenger"] if told else None
    if challenger is None:
        raise RequestRefused(
            "there is no challenger", 409, hint="give one parameters: [detect.challenger]"
        )
    configuration = str(challenger["configuration"])
    if not configuration.startswith(said.configuration):
        raise RequestRefused(
            f"the challenger is {configuration}, not {said.configuration[:64]}", 409
        )
    if any(one.number is None for one in ledger.promotions()):
        raise RequestRefused("a promotion waits for the next block already", 409)
    ledger.promote(configuration, challenger["parameters"], author, note)
    return {"configuration": configuration, "status": "promoted"}
