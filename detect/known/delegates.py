"""EIP-7702: delegates that are known to sweep, and what a delegated account's code looks like.

The delegates of honest wallets are among ``services.SERVICES``.
"""

from __future__ import annotations

from typing import Final

from detect.known.text import at as _at

SWEEPERS: Final[dict[bytes, str]] = {
    _at("0x930FcC37d6042c79211EE18A02857Cb1Fd7F0D0b"): "an ether forwarding",
    _at("0xa85d90B8Febc092E11E75Bf8F93a7090E2ed04DE"): "Inferno's",
}

DELEGATED: Final = bytes.fromhex("ef0100")
"""The code of an account that delegates is this and the delegate's address."""
