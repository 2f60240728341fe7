"""What the ledger says of its audit chain when it is asked."""

from __future__ import annotations

from chainwarden.errors import RequestRefused
from store.answers import Answer
from store.audit_table import Head
from store.ledger import Ledger


def head_answer(ledger: Ledger, entries: int | None = None) -> Answer:
    """``{ledger, chain, entries, digest}``: the chain as it is, or was with so many entries.

    Raises RequestRefused (404) where it never had so many.
    """
    head = ledger.audit_head(entries)
    if head is None:
        raise RequestRefused(
            f"the audit chain of ledger {ledger.identity} has no entry {entries}",
            404,
            hint="its end was lost, or the ledger was made anew",
        )
    return _head(ledger, head)


def verification_answer(ledger: Ledger) -> Answer:
    """``head_answer`` of the chain as far as it holds, and ``{faults, more}``: what does not."""
    found = ledger.verify()
    faults = [{"kind": one.kind, "key": one.key, "what": one.what} for one in found.faults]
    return {**_head(ledger, found.head), "faults": faults, "more": found.more}


def _head(ledger: Ledger, head: Head) -> Answer:
    return {
        "ledger": ledger.identity,
        "chain": ledger.chain.name,
        "entries": head.entries,
        "digest": head.digest.hex(),
    }
