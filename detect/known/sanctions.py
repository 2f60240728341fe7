"""The Chainalysis sanctions oracle: OFAC's list, kept on the chain."""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

SANCTIONS_ORACLE: Final = _at("0x40C57923924B5c5c5455c48D93317139ADDaC8fb")
SANCTIONS_ADDED: Final = bytes.fromhex(
    "2596d7dd6966c5673f9c06ddb0564c4f0e6d8d206ea075b83ad9ddd71a4fb927"
)
SANCTIONS_REMOVED: Final = bytes.fromhex(
    "32aab684eee99db715515d1a9987a8fe33bb6341b0e35e60db7eab48a08f9a3a"
)
TOPICS: Final[dict[bytes, str]] = {
    SANCTIONS_ADDED: "SanctionedAddressesAdded(address[])",
    SANCTIONS_REMOVED: "SanctionedAddressesRemoved(address[])",
}
