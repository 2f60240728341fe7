"""What wallets are called: by the labels that alerts are decided with, and by people since."""

from __future__ import annotations

from collections.abc import Iterable

from chainwarden.schema import ANALYST
from detect.labels import LabelBook
from store.ledger import Ledger


def words_of(labels: LabelBook, address: bytes) -> tuple[str, ...]:
    """The words of every label that a wallet has in the book, each once."""
    return tuple(dict.fromkeys(label.label for label in labels.labels_of(address)))


def words_now(
    ledger: Ledger, labels: LabelBook, addresses: Iterable[bytes]
) -> dict[bytes, list[str]]:
    """The words of each address: analysts' as the ledger has them, in force yet or not; lists'."""
    wanted = list(addresses)
    with ledger.reading():
        said = ledger.label_words(wanted)
    found = {}
    for address in wanted:
        listed = [one.label for one in labels.labels_of(address) if one.source != ANALYST]
        found[address] = list(dict.fromkeys([*said.get(address, []), *listed]))
    return found
