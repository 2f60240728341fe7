"""What a node's error objects mean. Clients and providers agree on few codes and on no words."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from chainwarden.errors import EndpointError


class Fault(enum.StrEnum):
    """What a node's error object means for who asked."""

    NOT_YET = "not_yet"  # it does not have the block, or not yet: ask again
    RATE_LIMITED = "rate_limited"  # asked too often: wait
    UNSUPPORTED = "unsupported"  # it does not know the method: do without
    TOO_LARGE = "too_large"  # asked for too much at once: ask for less
    REFUSED = "refused"  # anything else


class NodeError(EndpointError):
    """The endpoint answered, with an error object or a status that means one."""

    def __init__(
        self,
        message: str,
        fault: Fault,
        *,
        code: int = 0,
        data: bytes = b"",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.fault = fault
        self.code = code
        self.data = data  # what a call reverted with


class RpcFault(msgspec.Struct):
    """The ``error`` object of a reply."""

    code: int = 0
    message: str = ""
    data: object = None

    def revert_data(self) -> bytes:
        """What a call reverted with, where the node says so as 0x text; else nothing."""
        text = self.data if isinstance(self.data, str) else ""
        try:
            return bytes.fromhex(text[2:]) if text.startswith("0x") else b""
        except ValueError:
            return b""


_CODES: Final = {
    -32601: Fault.UNSUPPORTED,
    -32001: Fault.NOT_YET,  # resource not found
    -32005: Fault.RATE_LIMITED,  # limit exceeded
    -32007: Fault.RATE_LIMITED,
    -32016: Fault.RATE_LIMITED,
    429: Fault.RATE_LIMITED,
}
# Words decide before codes, and in this order: "method not found" is no missing block, "batch limit
# exceeded" no rate limit.
_WORDS: Final = (
    (
        Fault.UNSUPPORTED,
        ("method not found", "does not exist/is not available", "not supported", "unsupported"),
    ),
    (Fault.UNSUPPORTED, ("not whitelisted", "method is not", "not implemented", "unknown method")),
    (
        Fault.TOO_LARGE,
        ("too large", "batch limit", "batch size", "too many calls", "size exceeded", "too big"),
    ),
    (
        Fault.RATE_LIMITED,
        ("rate limit", "too many requests", "request limit", "quota", "capacity", "limit exceeded"),
    ),
    (Fault.RATE_LIMITED, ("throttl", "request count exceeded", "credits")),
    (Fault.NOT_YET, ("not found", "unknown block", "could not find block", "unfinalized data")),
    (Fault.NOT_YET, ("after last accepted", "out of range", "not available", "no state")),
)


def classify(code: int, message: str) -> Fault:
    """What an error object means, by its words and then its code.

    >>> classify(-32000, "header not found")
    <Fault.NOT_YET: 'not_yet'>
    >>> classify(-32601, "the method eth_getBlockReceipts does not exist/is not available")
    <Fault.UNSUPPORTED: 'unsupported'>
    """
    if code == 429 or code == -32601:
        return _CODES[code]
    lowered = message.lower()
    for fault, words in _WORDS:
        if any(word in lowered for word in words):
            return fault
    return _CODES.get(code, Fault.REFUSED)
