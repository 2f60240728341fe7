"""The forms of the API's answers about the audit chain; see ``store.answer_types``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from store.answer_types import Count, Form

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256")]


class AuditForm(Form):
    """The audit chain: how many entries, and the digest of the last, which covers all of them."""

    ledger: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
    chain: str
    entries: Count
    digest: Digest


class FaultForm(Form):
    """A record, or an entry of the chain, that is not as it was written."""

    kind: str
    key: str
    what: str


class VerificationForm(AuditForm):
    """How far the chain holds, and what does not hold; ``more``: not all of it is told."""

    faults: list[FaultForm]
    more: bool
