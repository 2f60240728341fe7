"""Reads the settings of a file, the environment and flags, and refuses what cannot be meant."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from chainwarden.errors import SettingsError
from chainwarden.schema import Severity
from chainwarden.settings.sections import (
    LabelSettings,
    ReceiverSettings,
    Secret,
    Settings,
    WebhookSettings,
    shown_url,
)

PREFIX: Final = "CHAINWARDEN_"
# Variables of the tests and the shorthands for a single webhook.
_OTHER_VARIABLES: Final = (
    "CHAINWARDEN_WEBHOOK_URL",
    "CHAINWARDEN_WEBHOOK_SECRET",
    "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS",
)
_TEST_PREFIX: Final = "CHAINWARDEN_TEST_"
_SEVERITIES: Final = tuple(level.text for level in Severity)

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
    if settings.detect.summaries < 0 or settings.detect.summaries % 8:
        raise SettingsError("detect.summaries must be a multiple of 8, or 0 for none")
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
