"""What can be set, by section, with its default; and ``Secret``, which shows as ``***``.

Nothing here reads anything: ``reading`` does, and says what is wrong with what it read.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta


class Secret:
    """A text that is never shown by accident.

    >>> Secret("hunter2")
    Secret(***)
    >>> Secret("hunter2").reveal()
    'hunter2'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        raise TypeError("a secret is no key")


def shown_url(url: str) -> str:
    """A URL without user, path and query, where keys hide.

    >>> shown_url("https://user:pw@node.example:8545/v3/key?token=x")
    'https://node.example:8545'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}"


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where blocks come from."""

    rpc: list[Secret] = []
    """HTTP endpoints of one chain, in order of preference."""
    quorum: Annotated[int, Meta(ge=0)] = 0
    """How many of them must know a block before it is followed; 0: a majority of three or more."""
    websocket: Secret = Secret("")
    """A WebSocket endpoint that rings when a new head is there; HTTP stays the truth."""
    start: int | None = None
    """The first block of a first run; default: the head."""
    traces: bool = False
    """Also ask for call traces (debug_traceBlockByHash)."""


class BusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is between ingest and detect."""

    kind: str = "memory"
    """``memory`` (one process) or ``kafka``."""
    bootstrap_servers: str = "127.0.0.1:9092"
    partitions: int = 4
    timeout_seconds: float = 60.0
    """The longest that one request to the broker may take."""
    patience_seconds: float = 600.0
    """How long a broker may be away, before that ends the process with exit code 5."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password: Secret = Secret("")
    ca_file: str = ""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a wallet risk model; one that is not given is as usual, or the champion's."""

    rate: Annotated[float, Meta(gt=0)] | None = None
    """How fast the bins and pairs learn (AdaGrad)."""
    pairs: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Weight of the bins and pairs; the trees have the rest."""
    stake_weight: Annotated[float, Meta(ge=0)] | None = None
    """Weight of the log of what is still to come."""
    alert: Annotated[float, Meta(gt=0, le=1)] | None = None
    """From which risk on a wallet is told of,"""
    grave: Annotated[float, Meta(gt=0, le=1)] | None = None
    """and once more."""
    members: Annotated[int, Meta(ge=1, le=16)] | None = None
    """Ensembles of boosted trees, and of each:"""
    trees: Annotated[int, Meta(ge=1, le=5000)] | None = None
    depth: Annotated[int, Meta(ge=1, le=8)] | None = None
    every: Annotated[int, Meta(ge=1)] | None = None
    """rows learnt from one tree to the next,"""
    common: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """rows kept of good wallets,"""
    rare: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """and of bad ones,"""
    sample: Annotated[int, Meta(ge=1)] | None = None
    """those of good ones that a tree is fitted to, about,"""
    columns: Annotated[float, Meta(gt=0, le=1)] | None = None
    """share of the features that it may split on,"""
    tree_rate: Annotated[float, Meta(gt=0)] | None = None
    """and how much of a step it takes;"""
    shrinkage: Annotated[float, Meta(gt=0)] | None = None
    """L2 penalty of a leaf."""
    seed: int | None = None


class DetectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The detector."""

    wallets: int = 1_000_000
    """How many wallets are kept."""
    summaries: int = 4_000_000
    """How many wallets beyond them are kept in brief; in eights."""
    learn_depth: int = 64
    """How many blocks below the head the models learn."""
    seed: int = 1
    hash_key: Secret = Secret("")
    """32 hex digits that place wallets in memory, so that nobody can aim collisions at it.

    Default: ``run`` and ``detect`` make one at the first start and keep it in ``hash.key`` of
    ``store.out``; in a replay zeros. State digests agree only between runs with the same key, and
    snapshots go with theirs; alerts do not depend on it but where wallets share a sketch's cell.
    """
    labels: list[str] = []
    """Label lists to load: files in our CSV or one of the known public formats."""
    risk: bool = True
    """Whether wallets get a risk, learnt from the labels."""
    label_delay_days: float = 30.0
    """How long after a wallet was scored its label is asked for and learnt from."""
    champion: ModelSettings | None = None
    """Parameters of the wallet risk model other than the usual ones."""
    challenger: ModelSettings | None = None
    """A second risk model that learns and scores in shadow; where it differs from the champion."""
    skip_rules: list[str] = []
    """Rules that are not run, such as one that fails; each other one says what it said."""
    own_rules: list[str] = []
    """Rules of your own, as ``module:Class`` of modules that Python finds."""
    node_calls: bool = False
    """Whether rules may ask the nodes of ``source.rpc`` for balances, code and calls.

    Bounded per block. What alerts say then depends on the nodes' answers, too, which no root
    proves; a replay does without them.
    """


class LabelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One label list, with what the file itself does not say."""

    path: str
    source: str | None = None
    """Who says so; default: what the format tells."""
    licence: str = ""
    """Noted with the list wherever it is told of."""
    chain: str | None = None
    """The chain its labels are about; default: every one."""
    valid_from: str | int = 0
    """A date, or seconds since 1970, from which they hold; default: always."""
    valid_to: str | int | None = None


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which findings become alerts."""

    cool_down_hours: float = 168.0
    budget_per_hour: int = 200
    suppress: list[str] = []
    """Wallets or rules that raise no alert."""
    explorer: str = ""
    """A block explorer that messages to people link to, e.g. ``https://etherscan.io``."""


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where results go."""

    out: str = "chainwarden-out"
    """The folder of ledger, lake and snapshots."""
    snapshot_minutes: float = 10.0
    snapshots_kept: int = 3


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HTTP side: metrics, health, read API."""

    host: str = "127.0.0.1"
    port: int = 9464
    token: Secret = Secret("")
    """An admin's: what callers of the API may send, and what our own commands send it.

    Others are made with ``chainwarden token``, each with a role. Where there is any, one is wanted.
    """
    requests_per_minute: int = 600
    """Of one caller of the API: a token, or an address."""


Rate = Annotated[int, Meta(ge=4, le=100_000)]


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One receiver of signed webhooks."""

    name: str
    url: Secret
    secret: Secret
    allow_networks: list[str] = []
    """Networks that are allowed although they are private, e.g. ``["127.0.0.0/8"]``."""
    rate_per_minute: Rate = 60
    """How many posts a minute at most; what goes beyond is told in digests."""
    severity: str = "info"
    """It is told of alerts at least so severe."""


class ReceiverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A chat, a pager or a mailbox that is told of alerts."""

    name: str
    url: Secret
    """An apprise URL (``slack://…``, ``discord://…``, ``pagerduty://…``, ``workflows://…``,
    ``mailtos://…``), or the address that Slack, Discord or Teams shows."""
    allow_networks: list[str] = []
    """Networks that are allowed although they are private."""
    rate_per_minute: Rate = 30
    """How many messages a minute at most; what goes beyond is told in digests."""
    severity: str = "medium"
    """It is told of alerts at least so severe."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    chain: str = ""
    """The chain's name in topics, paths and metrics; default: asked of the node, else ethereum."""
    chain_id: int | None = None
    source: SourceSettings = SourceSettings()
    bus: BusSettings = BusSettings()
    detect: DetectSettings = DetectSettings()
    alerts: AlertSettings = AlertSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    labels: list[LabelSettings] = []
    webhooks: list[WebhookSettings] = []
    receivers: list[ReceiverSettings] = []

    def told(self) -> list[WebhookSettings | ReceiverSettings]:
        """Everybody who is told of alerts."""
        return [*self.webhooks, *self.receivers]

    def lists(self) -> list[LabelSettings]:
        """Every label list: those of ``detect.labels``, and those with more about them."""
        return [*(LabelSettings(path=path) for path in self.detect.labels), *self.labels]
