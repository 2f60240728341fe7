"""Errors cross from one process to another as they were raised."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from chainwarden.errors import (
    BadBlock,
    ChainwardenError,
    DeliveryError,
    EndpointError,
    IncompleteBlock,
    InvalidRecord,
    LedgerLocked,
    MissingAncestor,
    RequestRefused,
    RuleFailed,
)

WITH_MORE: tuple[ChainwardenError, ...] = (
    RequestRefused("too often", 429, hint="wait", retry_after_seconds=3),
    BadBlock("no such root", where="blocks.jsonl:4", reason="receipts_root", number=7, hint="ask"),
    EndpointError("busy", retry_after_seconds=0.5, hint="another"),
    MissingAncestor(8, b"\x01" * 32),
    InvalidRecord("no JSON", topic="blocks", partition=1, offset=2**40),
    IncompleteBlock("2 of 3", number=9, block_hash=b"\x02" * 32, offsets={"blocks/0": 5}),
    RuleFailed("taint", 3, 4, KeyError("wallet")),
    LedgerLocked("in use", pid=12, hint="stop it"),
    DeliveryError("refused", retriable=False, status=403, in_doubt=True, hint="the secret"),
)


def kinds(of: type[ChainwardenError]) -> Iterator[type[ChainwardenError]]:
    """A class and all below it that everybody may raise."""
    if of.__module__ == ChainwardenError.__module__:
        yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def every_error() -> list[ChainwardenError]:
    """One error of each kind, with all that it can carry."""
    special = {type(error) for error in WITH_MORE}
    return [
        *WITH_MORE,
        *(
            kind("what is wrong", hint="do")
            for kind in kinds(ChainwardenError)
            if kind not in special
        ),
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_when_it_was_pickled(error: ChainwardenError) -> None:
    """Its class, what it says and all it carries, also what was set on it later."""
    error.hint = f"{error.hint}, and more"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)
    assert vars(again) == vars(error)
    assert again.exit_code == error.exit_code
