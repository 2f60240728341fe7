"""Every error chainwarden raises on purpose, as one tree.

    ChainwardenError
    ├── SettingsError           a setting is misspelt, missing or out of range
    ├── RequestRefused          what was asked for is not there, not allowed or not understood
    ├── SourceError             blocks cannot be read
    │   ├── BadBlock            one block is unusable or its roots do not match; the rest goes on
    │   ├── NotYet              the node does not have it yet; ask again, never rewind
    │   ├── EndpointError       one endpoint failed; another, or a later call, may answer
    │   └── FileFormatError     a file is no block file, or it is truncated
    ├── ChainError              blocks do not form a chain
    │   ├── MissingAncestor     the parent is unknown; fetch it by hash
    │   └── DeepReorg           a fork reaches below what can be undone; rebuild from a snapshot
    ├── BusError                the bus cannot take or give records
    │   ├── Fenced              another process publishes this chain now
    │   ├── BlocksLost          the bus came back without blocks that it had taken; start again
    │   ├── InvalidRecord       one record cannot be decoded; it goes to the dead letters
    │   ├── IncompleteBlock     records of one block are missing for good; fetch it from a node
    │   └── OffsetGone          the stored offset is no longer on the bus; fetch what is missing
    ├── DetectError             the detector refuses what it was given
    │   ├── RuleFailed          a rule has a bug; blocks can be scored without it
    │   └── SnapshotRefused     a snapshot of another version, truncated, or tampered with
    ├── StoreError              the ledger or the lake cannot take what it was given
    │   ├── LedgerLocked        another process has the ledger open
    │   ├── LeaseLost           the ledger's lock is no longer this process'
    │   ├── LedgerDamaged       the ledger's own counts disagree; rebuild it
    │   ├── LedgerAltered       what the ledger says is not what was written to it
    │   └── DiskFull            no space left; nothing was acknowledged
    ├── LabelError              a label or a label list is malformed
    └── DeliveryError           a receiver did not accept a notification

The message says what is wrong, ``hint`` what to do about it, and ``exit_code`` is what the
``chainwarden`` command ends with. Errors carry the datum that caused them as attributes.
"""

from __future__ import annotations

from typing import Any, Final


class ChainwardenError(Exception):
    """The root: ``except ChainwardenError`` catches what chainwarden raises on purpose.

    It can be pickled, so that one process raises what happened in another.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # By default pickle calls the class with ``args``, and most take other arguments.
        return _unpickled, (type(self), self.args), vars(self)


def _unpickled(kind: type[ChainwardenError], args: tuple[object, ...]) -> ChainwardenError:
    """An error that pickle gives its attributes next."""
    return kind.__new__(kind, *args)


class SettingsError(ChainwardenError):
    """A setting is misspelt, missing or out of range."""

    exit_code = 3


class RequestRefused(ChainwardenError):
    """What was asked for is not there, not allowed or not understood; ``status`` is HTTP's."""

    exit_code = 3

    def __init__(
        self, message: str, status: int, *, hint: str = "", retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class SourceError(ChainwardenError):
    """Blocks cannot be read from where they should come from."""

    exit_code = 4


class BadBlock(SourceError):
    """One block is unusable: malformed, or a recomputed root does not match. The rest goes on.

    ``where`` names it as far as it is known (a file and line, an endpoint, a number and hash);
    ``reason`` is one of ``REASONS``, for metrics. A contradiction is between what no root commits
    to and what follows from the rest: positions, effective prices, gas used, created addresses.
    ``parent``: it breaks a rule between its header and its parent's.
    """

    REASONS: Final = (
        "header_hash", "transaction_hash", "transactions_root", "receipts_root", "logs_bloom",
        "withdrawals_root", "sender", "contradiction", "malformed", "order", "parent",
    )  # fmt: skip

    def __init__(
        self, message: str, *, where: str, reason: str, number: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(f"{where}: {message}", hint=hint)
        self.where = where
        self.reason = reason
        self.number = number


class NotYet(SourceError):
    """The node answered null: it does not have the block or its receipts yet."""


class EndpointError(SourceError):
    """One endpoint failed. ``retry_after_seconds`` is what it asked for, if anything."""

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class FileFormatError(SourceError):
    """A file is not what it should be, or it ends in the middle."""


class ChainError(ChainwardenError):
    """Blocks do not form a chain."""

    exit_code = 4


class MissingAncestor(ChainError):
    """A block's parent is unknown: fetch ``parent_hash`` (at ``number``) and add it first."""

    def __init__(self, number: int, parent_hash: bytes) -> None:
        super().__init__(f"block {number} (0x{parent_hash.hex()}) is needed to connect the chain")
        self.number = number
        self.parent_hash = parent_hash


class DeepReorg(ChainError):
    """A fork starts below the oldest block that can still be undone."""


class BusError(ChainwardenError):
    """The bus cannot take or give records."""

    exit_code = 5


class Fenced(BusError):
    """Another process publishes this chain now: this one must not go on."""


class BlocksLost(BusError):
    """The bus came back without blocks that it had taken: a new start finds out which."""


class InvalidRecord(BusError):
    """One record cannot be decoded. ``topic``, ``partition`` and ``offset`` say which."""

    def __init__(self, message: str, *, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic}[{partition}]@{offset}: {message}")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class IncompleteBlock(BusError):
    """Records of one block are missing for good, or cannot be read.

    ``number`` and ``block_hash`` (empty where the source has none) say which. The consumer stays
    where it is. To go on, get the block elsewhere (a node, by hash), then seek to ``offsets``: what
    comes after the block.
    """

    def __init__(
        self, reason: str, *, number: int, block_hash: bytes, offsets: dict[str, int]
    ) -> None:
        name = f"block {number}" + (f" (0x{block_hash.hex()})" if block_hash else "")
        super().__init__(
            f"{name} is incomplete on the bus: {reason}",
            hint="fetch the block from a node, then go on behind it",
        )
        self.number = number
        self.block_hash = block_hash
        self.offsets = offsets


class OffsetGone(BusError):
    """The offset stored in the ledger is no longer on the bus."""


class DetectError(ChainwardenError):
    """The detector refuses what it was given."""

    exit_code = 7


class RuleFailed(DetectError):
    """A rule ended with an error of its own, its state half changed; ``rule`` is its id."""

    def __init__(self, rule: str, first: int, last: int, error: Exception) -> None:
        blocks = f"block {first}" if first == last else f"one of blocks {first} to {last}"
        super().__init__(
            f"rule {rule} failed at {blocks}: {type(error).__name__}: {error}",
            hint=f'report it; to go on without the rule, set detect.skip_rules = ["{rule}"]',
        )
        self.rule = rule


class SnapshotRefused(DetectError):
    """A snapshot of another version, truncated, or tampered with: rebuild instead."""


class StoreError(ChainwardenError):
    """The ledger or the lake cannot take what it was given."""

    exit_code = 6


class LedgerLocked(StoreError):
    """Another process has the ledger open for writing; ``pid`` is its own, where it is known."""

    def __init__(self, message: str, *, pid: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class LeaseLost(StoreError):
    """The lock of the ledger is no longer this process': another one may have it."""


class LedgerDamaged(StoreError):
    """The ledger's own counts disagree: rows were lost below it."""


class LedgerAltered(StoreError):
    """What the ledger says is not what was written to it: the audit chain does not hold."""


class DiskFull(StoreError):
    """No space left on the device; nothing was acknowledged."""


class LabelError(ChainwardenError):
    """A label or a label list is malformed."""

    exit_code = 8


class DeliveryError(ChainwardenError):
    """A receiver did not accept a notification; ``retriable`` says whether to try again.

    ``in_doubt``: no answer came, so it may have been accepted all the same.
    """

    exit_code = 9

    def __init__(
        self,
        message: str,
        *,
        retriable: bool,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        in_doubt: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.retriable = retriable
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.in_doubt = in_doubt
