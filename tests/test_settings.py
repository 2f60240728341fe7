from __future__ import annotations

from pathlib import Path

import pytest

from chainwarden.errors import SettingsError
from chainwarden.receivers import senders_of, told_of
from chainwarden.schema import Severity
from chainwarden.settings import Secret, load_settings


def written(tmp_path: Path, text: str) -> Path:
    """A settings file with that text."""
    path = tmp_path / "chainwarden.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_beat_variables_beat_the_file(tmp_path: Path) -> None:
    """A flag is stronger than a variable, a variable than the file, the file than the default."""
    file = written(tmp_path, "[detect]\nwallets = 10\nseed = 5\n[server]\nport = 1\n")
    settings = load_settings(
        file,
        {"CHAINWARDEN_DETECT_WALLETS": "20", "CHAINWARDEN_SERVER_PORT": "2"},
        {"server.port": 3, "store.out": None},
    )
    assert (settings.detect.seed, settings.detect.wallets, settings.server.port) == (5, 20, 3)
    assert settings.store.out == "chainwarden-out"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[detect]\nwalets = 1\n", "did you mean wallets?"),
        ("[dtect]\n", "did you mean detect?"),
        ("[[webhooks]]\nname='a'\nurl='http://x'\nsecrt='y'\n", "did you mean secret?"),
        ("[detect]\nwallets = 'many'\n", "detect.wallets"),
        ("[detect]\nwallets = 0\n", "detect.wallets must be above 0"),
        ("[detect]\nsummaries = 12\n", "detect.summaries must be a multiple of 8"),
        ("[bus]\nkind = 'rabbit'\n", "memory or kafka"),
        ("[server]\nport = 70000\n", "0 to 65535"),
        ("[source]\nrpc = ['ftp://x']\n", "http://"),
        ("[detect]\nhash_key = 'abc'\n", "32 hex digits"),
        ("[detect.challenger]\nrat = 0.1\n", "did you mean rate?"),
        ("[detect.challenger]\ntree_rat = 0.1\n", "did you mean tree_rate?"),
        ("[detect.chalenger]\nrate = 0.1\n", "did you mean challenger?"),
        ("[detect.challenger]\nrate = 0\n", "detect.challenger.rate"),
        ("[detect.challenger]\ndepth = 9\n", "detect.challenger.depth"),
        ("[detect.champion]\npairs = 1.5\n", "detect.champion.pairs"),
        ("[detect.challenger]\ntrees = 'many'\n", "detect.challenger.trees"),
        ("[detect]\nrisk = false\n[detect.challenger]\nrate = 0.1\n", "detect.risk is off"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Each mistake in the file is an error that names the key, or the nearest right one."""
    with pytest.raises(SettingsError, match=says.replace("?", r"\?")):
        load_settings(written(tmp_path, text))


def test_a_misspelt_variable_is_named() -> None:
    """A CHAINWARDEN_ variable that nothing reads is an error, with the nearest one."""
    with pytest.raises(SettingsError, match=r"did you mean CHAINWARDEN_BUS_KIND\?"):
        load_settings(None, {"CHAINWARDEN_BUS_KNID": "kafka"})


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml")


def test_lists_booleans_and_the_webhook_shorthand_come_from_variables() -> None:
    """Commas make lists, words make booleans, two variables make a webhook."""
    settings = load_settings(
        None,
        {
            "CHAINWARDEN_SOURCE_RPC": "http://a/key, http://b",
            "CHAINWARDEN_SOURCE_TRACES": "true",
            "CHAINWARDEN_WEBHOOK_URL": "https://r.example/x",
            "CHAINWARDEN_WEBHOOK_SECRET": "whsec_abc",
            "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8, ::1/128",
            "OTHER": "x",
        },
    )
    assert [u.reveal() for u in settings.source.rpc] == ["http://a/key", "http://b"]
    assert settings.source.traces is True
    assert settings.webhooks[0].secret == Secret("whsec_abc")
    assert settings.webhooks[0].allow_networks == ["127.0.0.0/8", "::1/128"]


def test_secrets_are_never_shown() -> None:
    """No secret is in the settings' own text, nor in the error about a bad URL."""
    settings = load_settings(None, {"CHAINWARDEN_SOURCE_RPC": "http://node/CANARY"})
    assert "CANARY" not in repr(settings)
    with pytest.raises(SettingsError) as error:
        load_settings(None, {"CHAINWARDEN_SOURCE_RPC": "ftp://user:CANARY@node/CANARY"})
    assert "CANARY" not in str(error.value)


def test_receivers_are_made_from_settings(tmp_path: Path) -> None:
    """Each kind by its table, told from its severity on; names are unique over both tables."""
    file = tmp_path / "chainwarden.toml"
    entry = (
        '[[receivers]]\nname = "desk"\nurl = "slack://T1JJ3T3L2/A1BRTD4JD/canarylazkcOXrIdevi7FQ"\n'
    )
    hook = (
        '[[webhooks]]\nname = "{}"\nurl = "https://hooks.invalid/"\n'
        f'secret = "whsec_{"a" * 44}"\n'
    )
    file.write_text(entry + hook.format("ops") + 'severity = "critical"\nrate_per_minute = 7\n')
    settings = load_settings(file)
    senders = senders_of(settings)
    assert [(one.name, one.rate_per_minute) for one in senders] == [("ops", 7), ("desk", 30)]
    assert told_of(settings) == {"ops": Severity.CRITICAL, "desk": Severity.MEDIUM}
    assert "canary" not in repr(settings)
    for one in senders:
        one.close()
    for wrong, says in (
        (entry + hook.format("desk"), "the same name"),
        (entry + 'severity = "loud"\n', "desk: no such severity"),
        (entry + "rate_per_minute = 3\n", "rate_per_minute"),
        (entry + '[alerts]\nexplorer = "http://x.invalid"\n', "alerts.explorer"),
    ):
        file.write_text(wrong)
        with pytest.raises(SettingsError, match=says):
            load_settings(file)
