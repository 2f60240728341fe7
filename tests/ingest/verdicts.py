"""What the tests of verification share: verdicts, and the places where a block can lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chainwarden.errors import BadBlock
from ingest.raw import RawBlock, RpcTransaction
from ingest.verify import Verifier

REASONS = {
    "header_hash",
    "transaction_hash",
    "transactions_root",
    "receipts_root",
    "logs_bloom",
    "withdrawals_root",
    "sender",
    "contradiction",
    "malformed",
    "order",
}


def rejected(raw: RawBlock, senders: int | None = None) -> BadBlock:
    """The error that a block which must not pass is rejected with."""
    with pytest.raises(BadBlock) as caught:
        Verifier(senders, unsigned=True).verify(raw)
    assert caught.value.reason in REASONS
    return caught.value


def verdict(raw: RawBlock, senders: int | None = None) -> bool | BadBlock:
    """What the verifier says, the error that it raises included."""
    try:
        return Verifier(senders, unsigned=True).verify(raw)
    except BadBlock as error:
        return error


def is_unsigned(tx: RpcTransaction) -> bool:
    """Whether nothing proves who sent it."""
    return (tx.r, tx.s) == ("0x0", "0x0") and tx.type != "0x7e"


class Site(NamedTuple):
    """A text field of a block: the struct or list that holds it, and under which name or index."""

    kind: str
    holder: Any
    key: Any

    def get(self) -> str:
        """The text there."""
        found = (
            self.holder[self.key] if isinstance(self.key, int) else getattr(self.holder, self.key)
        )
        assert isinstance(found, str)
        return found

    def set(self, text: str) -> None:
        """Puts a text there."""
        if isinstance(self.key, int):
            self.holder[self.key] = text
        else:
            setattr(self.holder, self.key, text)


def sites_of(item: Any) -> Iterator[Site]:
    """Every text field below a struct, in order."""
    label = type(item).__name__.removeprefix("Rpc")
    if isinstance(item, RpcTransaction):
        label += " unsigned" if is_unsigned(item) else item.type
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, str):
            yield Site(f"{label}.{name}", item, name)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, str):
                    yield Site(f"{label}.{name}", value, index)
                else:
                    yield from sites_of(each)


def all_sites(raw: RawBlock) -> list[Site]:
    """Every text field of header, transactions, withdrawals, receipts and logs."""
    sites = list(sites_of(raw.block))
    for receipt in raw.receipts or ():
        sites += sites_of(receipt)
    return sites
