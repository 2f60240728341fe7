"""The small types that all stages share."""

from __future__ import annotations

import pytest

from chainwarden.schema import MAX_HOPS, Evidence, Hop, alert_to_dict, path_of
from tests.store.made import alert


def hops(count: int) -> list[Hop]:
    """A chain of so many payments."""
    return [
        Hop(bytes([n]) * 32, bytes([n]) * 20, bytes([n + 1]) * 20, 10**18 - n) for n in range(count)
    ]


def test_a_path_is_bounded() -> None:
    """Evidence refuses a longer path; ``path_of`` keeps both ends of one."""
    long = hops(40)
    with pytest.raises(ValueError, match="at most 16 hops"):
        Evidence(path=tuple(long))
    cut = path_of(long)
    assert len(cut) == MAX_HOPS
    assert (cut[0], cut[7], cut[8], cut[-1]) == (long[0], long[7], long[32], long[39])
    assert path_of(hops(16)) == tuple(hops(16))
    assert path_of([]) == ()


def test_the_json_of_an_alert_has_its_path() -> None:
    """Hops are from, to, token, exact amount as text and the transaction, in order."""
    told = alert_to_dict(alert(3))["evidence"]
    assert isinstance(told, dict)
    hop = alert(3).evidence.path[0]
    assert hop.transaction is not None
    assert told["path"] == [
        {
            "transaction": "0x" + hop.transaction.hex(),
            "from": "0x" + hop.sender.hex(),
            "to": "0x" + hop.receiver.hex(),
            "token": None,
            "amount": "1000000000000000000",
        }
    ]
