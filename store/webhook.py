"""One notification to one receiver: Standard Webhooks over HTTP.

``webhook-id`` is the same in every attempt, so a receiver drops repeats by it; the signature covers
id, time and body, once per secret, so secrets can be rotated. Nobody learns a receiver's URL or
secret from here: errors and logs know it by its name.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from standardwebhooks import Webhook

from chainwarden.addresses import Resolver, resolve
from chainwarden.errors import SettingsError
from store.pace import DEFAULT_RATE
from store.posting import DEADLINE_SECONDS, Poster, Target


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told. ``name`` is how logs, errors and the ledger call it.

    ``secrets``: one or more ``whsec_…`` keys; every one of them signs. ``allow_networks``: CIDRs
    that may be dialled although they are not public (``127.0.0.0/8`` for this machine).
    ``timeout_seconds`` bounds a whole attempt. ``ca_file``: certificates to trust instead of the
    system's.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    allow_networks: tuple[str, ...] = ()
    timeout_seconds: float = DEADLINE_SECONDS
    ca_file: Path | None = None
    rate_per_minute: int = DEFAULT_RATE


class Sender(Protocol):
    """Brings one message to one receiver, or raises DeliveryError."""

    name: str
    rate_per_minute: int

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Deliver once, at ``timestamp``. Returns when the receiver accepted it.

        ``plain``: it was refused before; where there is a plainer form, that is sent.
        """
        ...

    def close(self) -> None:
        """Release what is held."""
        ...

    def check_address(self) -> None:
        """Resolve and check where it goes, and send nothing. Raises DeliveryError."""
        ...


class WebhookSender:
    """Posts signed messages to one receiver. Not for two threads at once.

    Raises SettingsError for a receiver that can never be told: a bad URL, secret or network.
    """

    def __init__(self, receiver: Receiver, resolver: Resolver = resolve) -> None:
        self.name = receiver.name
        self.rate_per_minute = receiver.rate_per_minute
        self._signers = _signers(receiver)
        target = Target(
            receiver.name,
            receiver.url,
            receiver.allow_networks,
            receiver.timeout_seconds,
            receiver.ca_file,
        )
        self._poster = Poster(target, resolver)

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Post one message, signed for ``timestamp`` (seconds since 1970, the time of sending).

        It has no plainer form: what is signed is the same in every attempt. Returns when the
        receiver answered 2xx. Raises DeliveryError otherwise: retriable but for 410; in doubt when
        no answer came after something was sent.
        """
        del plain
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(timestamp)),
            "webhook-signature": self._signatures(message_id, body, timestamp),
        }
        self._poster.post(body, timestamp, headers)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def check_address(self) -> None:
        """Resolve the receiver's name and check every address; nothing is connected or sent.

        Raises DeliveryError where it would not be dialled.
        """
        self._poster.check_address()

    def _signatures(self, message_id: str, body: bytes, timestamp: float) -> str:
        moment = datetime.fromtimestamp(int(timestamp), UTC)
        text = body.decode()
        return " ".join(signer.sign(message_id, moment, text) for signer in self._signers)


def _signers(receiver: Receiver) -> list[Webhook]:
    if not receiver.secrets:
        raise SettingsError(f"receiver {receiver.name} has no secret")
    signers = []
    for secret in receiver.secrets:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not 24 <= len(key) <= 64:
            raise SettingsError(
                f"receiver {receiver.name}: a secret is not whsec_ and 24 to 64 bytes in base64",
                hint='make one: python3 -c "import secrets,base64; '
                "print('whsec_'+base64.b64encode(secrets.token_bytes(32)).decode())\"",
            )
        signers.append(Webhook(key))
    return signers
