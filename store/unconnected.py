"""Why no connection came about, in words that carry neither the host nor its address."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from typing import Final

_CERTIFICATE: Final[dict[int, str]] = {
    10: "its certificate has expired",
    18: "its certificate is signed by itself",
    19: "its certificate is signed by somebody who is not trusted",
    20: "its certificate is signed by somebody who is not trusted",
    62: "its certificate is another host's",
}
"""By OpenSSL's X509_V_ERR numbers."""
_SYSTEM: Final[dict[int, str]] = {
    errno.ECONNREFUSED: "nobody listens on its port",
    errno.ECONNRESET: "it hung up",
    errno.EHOSTUNREACH: "there is no way to its host",
    errno.ENETUNREACH: "there is no way to its network",
}
_OURS: Final = (
    "its name cannot be resolved",
    "its name was not resolved in time",
    "the name has no address",
    "the deadline has passed",
)
"""What ``store.dial`` says."""


def why_unconnected(error: BaseException) -> str:
    """The reason, or the kind of the error where it is none that is known."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return _CERTIFICATE.get(one.verify_code, "its certificate does not hold")
        if isinstance(one, ssl.SSLError):
            return "it does not speak TLS as we do"
        if isinstance(one, OSError) and one.errno in _SYSTEM:
            return _SYSTEM[one.errno]
        if isinstance(one, TimeoutError):
            return "it did not answer in time"
        if str(one) in _OURS:
            return str(one)
    return type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came of, the first of all last."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__
