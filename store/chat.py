"""Notifications for people, through a chat service or a pager: the sink's JSON, posted like any."""

from __future__ import annotations

import msgspec

from chainwarden.addresses import Resolver, resolve
from store.notice import notice_of
from store.posting import Poster, Target
from store.sinks import Encode


class ChatSender:
    """Tells one chat or pager. Not for two threads at once.

    These services take no id of ours, so a repeat after a lost answer shows twice; a pager knows it
    by the alert's id. ``explorer`` is the block explorer that links go to, or empty.
    """

    def __init__(
        self,
        target: Target,
        encode: Encode,
        rate_per_minute: int,
        explorer: str = "",
        resolver: Resolver = resolve,
    ) -> None:
        self.name = target.name
        self.rate_per_minute = rate_per_minute
        self._encode = encode
        self._explorer = explorer
        self._poster = Poster(target, resolver)

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Post one message. ``plain``: in the least words, because it was refused otherwise.

        Raises DeliveryError where it was not accepted.
        """
        del message_id
        told = self._encode(notice_of(body, self._explorer), plain)
        self._poster.post(msgspec.json.encode(told), timestamp, {})

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def check_address(self) -> None:
        """Resolve the service's name and check every address; nothing is connected or sent."""
        self._poster.check_address()
