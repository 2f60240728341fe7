"""Taking alerts in hand and suppressing them in the console, in a real Chromium."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from chainwarden.server import Role
from chainwarden.server.tokens import FILE, TokenFile
from store.ledger import AlertFilter, Commit
from tests.chromium import Page
from tests.console.conftest import Console, serving, sound, visit
from tests.console.test_pages import AXE, ROWS, SHOWN
from tests.fetch_axe import SCRIPT
from tests.report.test_page import CUT_OFF

HEAD: Final = "document.querySelector('.head').innerText"
TOAST: Final = "document.querySelector('#toast').innerText"
NO_DIALOG: Final = "!document.querySelector('dialog')"
SAID: Final = "document.querySelector('#said').textContent"


def page_of(page: Page, console: Console, rule: str) -> str:
    """Open the page of the newest alert of a rule. Returns its id."""
    alert_id = console.alert(rule)
    visit(page, f"{console.url}#/alerts/{alert_id}")
    return alert_id


def put(page: Page, field: str, text: str) -> None:
    """Write a text into a field, in place of what is there."""
    page.value(f"document.querySelector('{field}').focus()")
    page.value(f"document.querySelector('{field}').select()")
    page.type(text)


def choose(page: Page, field: str, text: str) -> None:
    """Choose the option with this text, as whoever uses the select does."""
    page.value(
        f"(() => {{ const field = document.querySelector('{field}');"
        f"field.value = [...field.options].find(one => one.text == {text!r}).value;"
        "field.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def trail(console: Console) -> list[tuple[str, str, bool]]:
    """By whom which alert was taken in hand, or given back."""
    return [(one.by, one.why, one.withdrawn) for one in console.ledger.triage.acknowledgements()]


def test_an_alert_is_taken_in_hand_given_back_and_either_undone(
    chromium: Page, console: Console
) -> None:
    """h asks once for a name and takes it; the page says who has it since when; undo undoes."""
    page_of(chromium, console, "ice_phishing")
    began = int(time.time())
    chromium.press("h")
    chromium.wait("document.activeElement?.id == 'author'")
    for no_name in ("", " "):
        put(chromium, "#author", no_name)
        assert chromium.value("document.querySelector('dialog form').checkValidity()") is False
    put(chromium, "#author", "ana")
    chromium.press("Enter")
    since = chromium.wait(f"{HEAD}.match(/ana, since (.{{19}}) UTC/)?.[1]")
    assert began <= datetime.fromisoformat(f"{since}+00:00").timestamp() <= time.time()
    assert chromium.value(f"{SAID}") == "ana has ice_phishing in hand. Press u to undo."
    assert trail(console) == [("ana", "", False)]
    chromium.press("u")
    chromium.wait(f"{HEAD}.includes('Take in hand')")
    assert trail(console)[1:] == [("ana", "", True)]
    chromium.click("#act-h")
    chromium.wait(f"{HEAD}.includes('Give back')")
    assert chromium.value("document.activeElement.id") == "act-h"
    chromium.press("Enter")
    chromium.wait(f"{HEAD}.includes('Take in hand')")
    assert chromium.value(TOAST).startswith("nobody has ice_phishing in hand now")
    chromium.click("#toast button")
    chromium.wait(f"{HEAD}.includes('ana, since')")
    assert trail(console) == [
        ("ana", "", given_back) for given_back in (False, True) * 2 + (False,)
    ]
    chromium.press("?")
    keys = chromium.wait("document.querySelector('dialog[open] .keys')?.innerText")
    assert "take the alert in hand, or give it back" in keys
    sound(chromium, console)


def test_nobody_takes_over_unawares_and_the_name_comes_back(
    chromium: Page, console: Console
) -> None:
    """What another took since the page was drawn stays theirs; given back and undone, too."""
    alert_id = page_of(chromium, console, "ice_phishing")
    chromium.value("localStorage.setItem('chainwarden.author', 'bob')")
    console.ledger.triage.acknowledge(alert_id, "ana", "since noon")
    chromium.press("h")
    chromium.wait(f"{TOAST}.startsWith('ana has it in hand already')")
    chromium.wait(f"/ana, since .* UTC: since noon/.test({HEAD})")
    assert trail(console) == [("ana", "since noon", False)]
    chromium.press("h")
    chromium.wait(f"{HEAD}.includes('Take in hand')")
    chromium.press("u")
    chromium.wait(f"{HEAD}.includes('Give back')")
    assert trail(console)[1:] == [("bob", "", True), ("ana", "since noon", False)]
    sound(chromium, console)


def test_the_list_follows_who_has_what_in_hand(chromium: Page, console: Console) -> None:
    """A row says who took it and that it was given back while one looks; h acts on its row."""
    visit(chromium, console.url)
    chromium.value("localStorage.setItem('chainwarden.author', 'bob')")
    chromium.value("window.kept = true")
    shown = chromium.value(SHOWN)
    console.ledger.triage.acknowledge(shown[3], "ana")
    chromium.wait(f"{ROWS}[3].innerText.includes('in hand: ana')")
    console.ledger.triage.unacknowledge(shown[3], "ana")
    chromium.wait(f"!{ROWS}[3].innerText.includes('in hand')")
    assert chromium.value(SHOWN) == shown
    chromium.press("j", "j", "h")
    chromium.wait(f"{ROWS}[1].innerText.includes('in hand: bob')")
    chromium.press("h")
    chromium.wait(f"!{ROWS}[1].innerText.includes('in hand')")
    assert {one.alert_id for one in console.ledger.triage.acknowledgements()} == {
        shown[1],
        shown[3],
    }
    assert chromium.value("window.kept")  # nothing was loaded anew
    sound(chromium, console)


def test_what_is_in_hand_is_a_filter_of_the_address(chromium: Page, console: Console) -> None:
    """Somebody and nobody part the list, opened anew as well; what leaves the filter says so."""
    ids = [one.id for one in console.ledger.alerts(AlertFilter(rule="taint"))]
    console.ledger.triage.acknowledge(ids[1], "ana")
    visit(chromium, f"{console.url}#/alerts?rule=taint")
    choose(chromium, "#filter-acknowledged", "nobody")
    chromium.wait(f"location.hash.includes('acknowledged=no') && {ROWS}.length")
    visit(chromium, chromium.value("location.href"))
    rest = [one for one in ids if one != ids[1]]
    assert chromium.value(SHOWN) == rest[:50]
    assert chromium.value("document.querySelector('#filter-acknowledged').value") == "no"
    console.ledger.triage.acknowledge(rest[0], "bob")
    chromium.wait(f"{ROWS}[0].innerText.includes('no longer so')")
    choose(chromium, "#filter-acknowledged", "somebody")
    chromium.wait(f"location.hash.includes('acknowledged=yes') && {ROWS}.length == 2")
    assert set(chromium.value(SHOWN)) == {ids[1], rest[0]}
    sound(chromium, console)


SCOPES: Final = [("exchange_drain", True), (None, True), ("exchange_drain", False)]


@pytest.mark.parametrize(
    ("scope", "span", "hours"), [(0, "8 hours", 8), (1, "24 hours", 24), (2, "7 days", 168)]
)
def test_alerts_are_suppressed_for_a_while_and_told_again(
    chromium: Page, console: Console, scope: int, span: str, hours: int
) -> None:
    """Rule and wallet, the wallet, the rule: until when is said, and ended by u and by End."""
    alert_id = page_of(chromium, console, "exchange_drain")
    alert = console.ledger.alert(alert_id)
    assert alert is not None
    for end in ("u", "End"):
        chromium.press("s")
        chromium.wait("document.querySelector('#suppress-scope')")
        chromium.value(f"document.querySelector('#suppress-scope').selectedIndex = {scope}")
        choose(chromium, "#suppress-span", span)
        put(chromium, "#suppress-note", "a known case")
        put(chromium, "#author", "ana")
        began = int(time.time())
        chromium.click("dialog .main")
        chromium.wait("document.querySelector('.head .note')")
        (said,) = console.ledger.triage.holding()
        rule, about_wallet = SCOPES[scope]
        assert (said.rule, said.subject) == (rule, alert.subject if about_wallet else None)
        assert (said.by, said.why) == ("ana", "a known case")
        assert began <= said.until - hours * 3600 <= time.time()
        until = datetime.fromtimestamp(said.until, UTC).strftime("%Y-%m-%d %H:%M")
        assert f"suppressed until {until} UTC" in chromium.value(TOAST)
        assert f"{until} UTC, by ana: a known case" in chromium.value(HEAD)
        if end == "u":
            chromium.press("u")
        else:
            visit(chromium, f"{console.url}#/alerts?rule=exchange_drain")
            chromium.wait(f"{ROWS}[0].innerText.includes('suppressed until {until}')")
            page_of(chromium, console, "exchange_drain")
            chromium.click(".head .note button")
        chromium.wait("!document.querySelector('.head .note')")
        assert console.ledger.triage.holding() == []
    assert [one.ended_by for one in console.ledger.triage.suppressions(9)] == ["ana", "ana"]
    sound(chromium, console)


def test_each_suppression_of_an_alert_is_said_and_no_other(
    chromium: Page, console: Console
) -> None:
    """Two that cover it each have an end of their own; one of another rule is not there."""
    alert_id = console.alert("exchange_drain")
    alert = console.ledger.alert(alert_id)
    assert alert is not None
    until, triage = time.time() + 3600, console.ledger.triage
    triage.suppress("taint", alert.subject, until)
    first = triage.suppress(None, alert.subject, until)
    second = triage.suppress("exchange_drain", None, until + 60)
    visit(chromium, f"{console.url}#/alerts/{alert_id}")
    ends = "[...document.querySelectorAll('.head .note button')].map(e => e.id)"
    assert set(chromium.value(ends)) == {f"end-{first.serial}", f"end-{second.serial}"}
    chromium.click(f"#end-{second.serial}")
    chromium.wait(f"{ends}.length == 1")
    assert second not in triage.holding()
    assert len(triage.holding()) == 2
    sound(chromium, console)


def test_from_a_row_alerts_are_suppressed_and_the_wallet_says_so(
    chromium: Page, console: Console
) -> None:
    """s acts on the row with the focus; where a chain is the subject only its rule is offered."""
    last = console.ledger.alerts()[0]
    cursor = console.ledger.cursor()
    assert cursor is not None
    of_the_chain = dataclasses.replace(last, id=f"{1:032x}", subject=bytes(20))
    console.ledger.commit(Commit(cursor, [of_the_chain]))
    console.ledger.triage.acknowledge(last.id, "ana")
    visit(chromium, console.url)
    offered = "[...document.querySelector('#suppress-scope')?.options ?? []].map(e => e.text)"
    chromium.press("j", "s")
    chromium.wait(f"{offered}.length")
    assert chromium.value(offered) == [f"all {last.rule} alerts"]
    chromium.press("Escape")
    chromium.wait(NO_DIALOG)
    chromium.press("j", "s")
    chromium.wait(f"{offered}.length == 3")
    chromium.click("dialog .main")
    chromium.wait(f"{ROWS}[1].innerText.includes('suppressed until')")
    assert "suppressed" not in chromium.value(f"{ROWS}[0].innerText")
    (said,) = console.ledger.triage.holding()
    assert (said.rule, said.subject) == (last.rule, last.subject)
    visit(chromium, f"{console.url}#/wallets/0x{last.subject.hex()}")
    told = chromium.wait("document.querySelector('#alerts-title ~ ol')?.innerText")
    assert "in hand: ana" in told
    assert "suppressed until" in told
    sound(chromium, console)


def test_whoever_may_only_look_is_told_so(chromium: Page, out: Path) -> None:
    """A viewer's token takes nothing in hand and suppresses nothing: the refusal is on screen."""
    token = TokenFile(out / FILE).create("eve", Role.VIEWER, 1)
    with serving(out) as console:
        chromium.open(console.url, 1280)
        chromium.wait("document.querySelector('dialog[open] #token-text')")
        chromium.type(token)
        chromium.press("Enter")
        chromium.wait(f"{ROWS}.length")
        page_of(chromium, console, "ice_phishing")
        chromium.press("h")  # a token says who: no name is asked for
        chromium.wait(f"{TOAST}.includes('analyst')")
        chromium.press("s")
        chromium.wait("document.querySelector('#suppress-scope')")
        chromium.click("dialog .main")
        refused = chromium.wait("document.querySelector('dialog [role=alert]')?.innerText")
        assert "analyst" in refused
        assert trail(console) == []
        assert console.ledger.triage.suppressions(9) == []


def test_triage_fits_a_phone_and_passes_the_rules_of_accessibility(
    chromium: Page, console: Console
) -> None:
    """Marks, notes and dialogs: at 360 pixels none is cut off; axe finds nothing, light or dark."""
    if not SCRIPT.exists():
        pytest.skip("needs axe-core (tests/fetch_axe.py)")
    alert = console.ledger.alerts()[0]
    rest = console.ledger.alerts()[1].id
    console.ledger.triage.acknowledge(alert.id, "ana" * 20, "why " * 50)
    console.ledger.triage.suppress(None, alert.subject, time.time() + 3600, "ana" * 20, "w" * 200)
    places = {"#/alerts": None, f"#/alerts/{alert.id}": "s", f"#/alerts/{rest}": "h"}
    for (path, key), dark in ((place, dark) for place in places.items() for dark in (False, True)):
        visit(chromium, console.url + path, 360, dark=dark)
        if key is not None:
            chromium.press(key)
            chromium.wait("document.querySelector('dialog[open]')")
        assert chromium.value(CUT_OFF.replace("'.scroll'", "'.scroll, .frame'")) == [], path
        assert chromium.value("document.documentElement.scrollWidth") == 360
        chromium.value(SCRIPT.read_text(encoding="utf-8") + "; 0")
        assert chromium.result(AXE) == [], (path, dark)
        if key is not None:
            chromium.press("Escape")
            chromium.wait(NO_DIALOG)
            assert chromium.result(AXE) == [], (path, dark)
    sound(chromium, console)
