"""One ``Settings``: from ``chainwarden.toml``, then ``CHAINWARDEN_*`` variables, then flags.

The later is the stronger. A key is ``section.key`` in the file (``[bus] kind = "kafka"``) and
``CHAINWARDEN_SECTION_KEY`` in the environment (``CHAINWARDEN_BUS_KIND=kafka``; lists are separated
by commas). A misspelt key or variable is an error that names the nearest right one. Secrets are
``Secret`` values, which show as ``***`` wherever they are printed.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from chainwarden.errors import SettingsError
from chainwarden.schema import Severity

PREFIX: Final = "CHAINWARDEN_"
# Variables of the tests and the shorthands for a single webhook.
_OTHER_VARIABLES: Final = (
    "CHAINWARDEN_WEBHOOK_URL",
    "CHAINWARDEN_WEBHOOK_SECRET",
    "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS",
)
_TEST_PREFIX: Final = "CHAINWARDEN_TEST_"
_SEVERITIES: Final = tuple(level.text for level in Severity)


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


_ENTRIES: Final[dict[str, type]] = {
    "labels": LabelSettings,
    "webhooks": WebhookSettings,
    "receivers": ReceiverSettings,
}
"""Settings that are entries, ``[[webhooks]]``, and no single values."""


def load_settings(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """The settings of a file (default ``chainwarden.toml`` where it exists), variables and flags.

    ``flags`` are by dotted key (``{"store.out": "x"}``); None values are not given. Raises
    SettingsError naming the key, and the nearest known one where it is misspelt.
    """
    tree = _read_file(file)
    keys = _known_keys()
    for name, text in sorted((environment or {}).items()):
        _put_variable(tree, name, text, keys)
    for key, value in (flags or {}).items():
        if value is not None:
            _put(tree, key, value)
    _check_names(tree, Settings, "")
    try:
        settings = msgspec.convert(tree, Settings, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"settings: {error}", hint="see the README's table of settings"
        ) from None
    return _checked(settings)


def _read_file(file: Path | None) -> dict[str, Any]:
    path = file or Path("chainwarden.toml")
    if file is None and not path.exists():
        return {}
    try:
        tree: dict[str, Any] = _dated(tomllib.loads(path.read_text(encoding="utf-8")))
        return tree
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}", hint="give --config a readable file"
        ) from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not TOML that anybody means: nested too deep") from error
    except ValueError as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        raise SettingsError(f"{path}: not TOML: {error}") from error


def _dated(tree: Any) -> Any:
    """The tree with TOML's dates and times as ISO text."""
    if isinstance(tree, dict):
        return {key: _dated(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_dated(value) for value in tree]
    return tree.isoformat() if isinstance(tree, date | datetime) else tree


def _known_keys() -> dict[str, tuple[str, object]]:
    """Dotted key and type of every plain setting, by its variable's name."""
    keys: dict[str, tuple[str, object]] = {}

    def note(section: type, at: str) -> None:
        for name, kind in get_type_hints(section).items():
            inner = _section(kind)
            if inner is not None:
                note(inner, f"{at}{name}.")
            elif name not in _ENTRIES or at:
                key = f"{at}{name}"
                keys[f"{PREFIX}{key.replace('.', '_')}".upper()] = (key, kind)

    note(Settings, "")
    return keys


def _section(kind: object) -> type[msgspec.Struct] | None:
    """The struct that a setting is, or may be; None for a plain value."""
    if get_origin(kind) is list:
        return None
    for one in get_args(kind) or (kind,):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _put_variable(
    tree: dict[str, Any], name: str, text: str, keys: Mapping[str, tuple[str, object]]
) -> None:
    if not name.startswith(PREFIX) or name.startswith(_TEST_PREFIX):
        return
    if name in _OTHER_VARIABLES:
        webhook = next(
            (w for w in tree.setdefault("webhooks", []) if w.get("name") == "default"), None
        )
        if webhook is None:
            webhook = {"name": "default"}
            tree["webhooks"].append(webhook)
        field = name.removeprefix(f"{PREFIX}WEBHOOK_").lower()
        webhook[field] = _from_text(text, get_type_hints(WebhookSettings)[field], name)
        return
    if name not in keys:
        raise SettingsError(
            f"unknown variable {name}", hint=_nearest(name, [*keys, *_OTHER_VARIABLES])
        )
    key, kind = keys[name]
    _put(tree, key, _from_text(text, kind, name))


def _from_text(text: str, kind: object, name: str) -> object:
    if get_origin(kind) is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    kinds = get_args(kind) or (kind,)
    if bool in kinds:
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise SettingsError(f"{name}: {text!r} is neither true nor false")
        return words[text.lower()]
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                raise SettingsError(f"{name}: {text!r} is no number") from None
    return text


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[last] = value


def _check_names(tree: Mapping[str, Any], kind: type, at: str) -> None:
    known = get_type_hints(kind)
    for name, value in tree.items():
        if name not in known:
            raise SettingsError(f"unknown setting {at}{name}", hint=_nearest(name, list(known)))
        inner = _section(known[name])
        if name in _ENTRIES and isinstance(value, list):
            for entry in value:
                if isinstance(entry, Mapping):
                    _check_names(entry, _ENTRIES[name], f"{name}.")
        elif inner is not None and isinstance(value, Mapping):
            _check_names(value, inner, f"{at}{name}.")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Secret and isinstance(value, Secret):
        return value
    raise TypeError(f"expected text, got {type(value).__name__}")


def _checked(settings: Settings) -> Settings:
    def positive(key: str, value: float) -> None:
        if value <= 0:
            raise SettingsError(f"{key} must be above 0, not {value}")

    if settings.bus.kind not in ("memory", "kafka"):
        raise SettingsError(f"bus.kind is {settings.bus.kind!r}", hint="memory or kafka")
    positive("bus.partitions", settings.bus.partitions)
    positive("bus.timeout_seconds", settings.bus.timeout_seconds)
    positive("bus.patience_seconds", settings.bus.patience_seconds)
    positive("detect.wallets", settings.detect.wallets)
    positive("alerts.cool_down_hours", settings.alerts.cool_down_hours)
    positive("alerts.budget_per_hour", settings.alerts.budget_per_hour)
    positive("store.snapshot_minutes", settings.store.snapshot_minutes)
    positive("store.snapshots_kept", settings.store.snapshots_kept)
    positive("server.requests_per_minute", settings.server.requests_per_minute)
    digits = settings.detect.hash_key.reveal()
    if digits and (len(digits) != 32 or set(digits.lower()) - set("0123456789abcdef")):
        raise SettingsError("detect.hash_key must be 32 hex digits", hint="openssl rand -hex 16")
    if settings.detect.learn_depth < 0:
        raise SettingsError("detect.learn_depth must not be negative")
    if not settings.detect.risk and settings.detect.challenger is not None:
        raise SettingsError("detect.challenger is set and detect.risk is off")
    if not 0.0 <= settings.detect.label_delay_days <= 3650.0:
        raise SettingsError("detect.label_delay_days must be 0 to 3650")
    if not 0 <= settings.server.port < 65536:
        raise SettingsError(
            f"server.port is {settings.server.port}", hint="0 to 65535; 0 picks one"
        )
    if 0 < len(settings.server.token.reveal()) < 16:
        raise SettingsError(
            "server.token must have 16 characters or more", hint="openssl rand -hex 32"
        )
    for url in (*settings.source.rpc, *(w.url for w in settings.webhooks)):
        if urlsplit(url.reveal()).scheme not in ("http", "https"):
            raise SettingsError(
                "a URL must begin with http:// or https://", hint=shown_url(url.reveal())
            )
    paths = [one.path for one in settings.lists()]
    if len(set(paths)) != len(paths):
        raise SettingsError("a label list is there twice", hint="name each once")
    told = settings.told()
    if len({one.name for one in told}) != len(told):
        raise SettingsError("two receivers have the same name")
    for one in told:
        if one.severity not in _SEVERITIES:
            raise SettingsError(
                f"{one.name}: no such severity: {one.severity!r}", hint=", ".join(_SEVERITIES)
            )
    if settings.alerts.explorer and urlsplit(settings.alerts.explorer).scheme != "https":
        raise SettingsError("alerts.explorer must begin with https://")
    return settings
