"""The console in a real Chromium, over the product's own server and a real replay."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from chainwarden.schema import Alert, Retraction, Severity
from store.ledger import AlertFilter, Commit
from tests.chromium import Page
from tests.console.conftest import Console, serving, sound, visit
from tests.fetch_axe import SCRIPT
from tests.report.test_page import CUT_OFF
from tests.rigs.hostile import THIEF, write

ROWS = "[...document.querySelectorAll('.alerts li')]"
SHOWN = f"{ROWS}.map(e => e.dataset.id)"
FOCUSED = "document.activeElement.closest('.alerts li')?.dataset.id"
# What an assistant's rules of WCAG 2 A and AA find, in brief.
AXE = """axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
  .then(found => found.violations.map(one => one.id + ': ' + one.nodes.map(n => n.html).join()))"""


def test_filters_live_in_the_address(chromium: Page, console: Console) -> None:
    """A filter that is set shows in the address; opened anew, that shows the same alerts."""
    visit(chromium, console.url)
    everything = chromium.value(SHOWN)
    chromium.value(
        "(() => { const f = document.querySelector('.filters');"
        "f.elements.severity.value = 'high';"
        "f.elements.severity.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    chromium.wait("location.hash.includes('severity=high') && document.querySelector('.alerts li')")
    chromium.value(
        "(() => { const f = document.querySelector('.filters'); f.elements.rule.value = 'taint';"
        "f.elements.rule.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    chromium.wait("location.hash.includes('rule=taint')")
    address = chromium.value("location.href")
    wanted = AlertFilter(rule="taint", min_severity=Severity.HIGH)
    expected = [one.id for one in console.ledger.alerts(wanted)]
    assert len(expected) < len(everything)
    visit(chromium, address)
    assert chromium.value(SHOWN) == expected
    assert chromium.value("document.querySelector('.filters').elements.severity.value") == "high"
    sound(chromium, console)


def test_a_filter_of_wallet_and_time_and_one_that_is_wrong(
    chromium: Page, console: Console
) -> None:
    """Wallet and time narrow the list as in the ledger; of a wrong wallet the reason is said."""
    one = console.ledger.alerts()[40]
    subject = "0x" + one.subject.hex()
    visit(chromium, f"{console.url}#/alerts?subject={subject}&status=all&until=2099-01-01T00:00")
    wanted = AlertFilter(subject=one.subject, status="all", limit=50)
    assert chromium.value(SHOWN) == [found.id for found in console.ledger.alerts(wanted)]
    visit(chromium, f"{console.url}#/alerts?since=2099-01-01T00:00")
    assert chromium.value(SHOWN) == []
    assert "No alert is so" in chromium.value("document.querySelector('#found').textContent")
    visit(chromium, f"{console.url}#/alerts?subject=0x12")
    assert "is no address" in chromium.wait("document.querySelector('.problem')?.textContent")
    assert any("422" in error for error in chromium.errors)


def test_older_pages_follow_without_gap_or_repeat(chromium: Page, console: Console) -> None:
    """Page after page the list becomes what the ledger has, in its order."""
    visit(chromium, f"{console.url}#/alerts?status=all")
    expected = [one.id for one in console.ledger.alerts(AlertFilter(status="all", limit=10_000))]
    assert len(expected) > 50
    older = "[...document.querySelectorAll('main button')].find(e => e.innerText == 'Older alerts')"
    while not chromium.value(f"{older}.hidden"):
        before = chromium.value(f"{ROWS}.length")
        chromium.value(f"{older}.click()")
        chromium.wait(f"{ROWS}.length > {before}")
        assert chromium.value(FOCUSED) == chromium.value(SHOWN)[before]
    assert chromium.value(SHOWN) == expected
    sound(chromium, console)


def newer(console: Console, number: int) -> Alert:
    """An alert that comes in while somebody looks."""
    last = console.ledger.alerts()[0]
    new = dataclasses.replace(last, id=f"{number:032x}", block_timestamp=last.block_timestamp + 12)
    cursor = console.ledger.cursor()
    assert cursor is not None
    console.ledger.commit(Commit(cursor, [new]))
    return new


def test_new_alerts_come_by_themselves_and_move_nothing(chromium: Page, console: Console) -> None:
    """At the top a new alert is put first; below it, or with a row in use, nothing moves."""
    visit(chromium, console.url)
    first = newer(console, 1)
    chromium.wait(f"{SHOWN}[0] == '{first.id}'")
    assert "1 new alert" in chromium.value("document.querySelector('#said').textContent")
    chromium.press("j", "j")
    held = chromium.value(FOCUSED)
    top = f"document.querySelector('[data-id=\"{held}\"]').getBoundingClientRect().top"
    place = chromium.value(top)
    second = newer(console, 2)
    chromium.wait("!document.querySelector('.fresh').hidden")
    assert chromium.value(SHOWN)[0] == first.id
    assert chromium.value(FOCUSED) == held
    assert chromium.value("document.querySelector('.fresh').textContent") == "Show 1 new"
    assert place - 60 < chromium.value(top) < place + 60
    chromium.value("document.querySelector('.fresh').click()")
    chromium.wait(f"{SHOWN}[0] == '{second.id}'")
    assert len(set(chromium.value(SHOWN))) == len(chromium.value(SHOWN))
    sound(chromium, console)


def test_an_alert_that_is_taken_back_stays_and_says_so(chromium: Page, console: Console) -> None:
    """A fork retracts what somebody looks at: the row stays in its place, marked."""
    visit(chromium, console.url)
    shown = chromium.value(SHOWN)
    gone = console.ledger.alert(shown[3])
    cursor = console.ledger.cursor()
    assert gone is not None
    assert cursor is not None
    console.ledger.commit(Commit(cursor, retractions=[Retraction(gone.id, gone.position)]))
    chromium.wait(f"{ROWS}[3].innerText.includes('no longer so')")
    assert chromium.value(SHOWN)[: len(shown)] == shown
    rest = [one.id for one in console.ledger.alerts() if one.id not in shown]
    assert chromium.value(SHOWN)[len(shown) :] == rest[: chromium.value(f"{ROWS}.length") - 50]
    assert chromium.value("document.querySelectorAll('.alerts .past').length") == 1
    sound(chromium, console)


def test_keys_lead_from_the_list_to_the_alert_and_back(chromium: Page, console: Console) -> None:
    """j, k, Enter, /, ? and Escape do what the page of keys says; keys typed as text do not."""
    visit(chromium, console.url)
    shown = chromium.value(SHOWN)
    chromium.press("j", "j", "j", "k")
    assert chromium.value(FOCUSED) == shown[1]
    chromium.press("Enter")
    chromium.wait(f"location.hash == '#/alerts/{shown[1]}' && document.querySelector('.facts')")
    assert chromium.value("document.activeElement.tagName") == "H1"
    chromium.press("j")
    chromium.wait(f"location.hash == '#/alerts/{shown[2]}'")
    chromium.press("?")
    assert "the next" in chromium.value("document.querySelector('dialog[open]').innerText")
    chromium.press("Escape")
    chromium.wait("!document.querySelector('dialog[open]')")
    chromium.press("/")
    assert chromium.value("document.activeElement.id") == "find-text"
    chromium.press("j", "d", "?")
    assert chromium.value("document.activeElement.value") == "jd?"
    chromium.press("Escape", "Escape")
    chromium.wait("location.hash == '#/alerts' && document.querySelector('.alerts li')")
    chromium.press("t")
    assert chromium.value("document.documentElement.dataset.theme") == "dark"
    sound(chromium, console)


def test_a_label_that_is_set_is_in_the_ledger_and_undone_is_not(
    chromium: Page, console: Console
) -> None:
    """l labels the suspect from this alert, d dismisses it, u takes either back."""
    alert_id = console.alert("ice_phishing")
    visit(chromium, f"{console.url}#/alerts/{alert_id}")
    chromium.press("l")
    assert chromium.wait("document.querySelector('#label-word')?.value") == "phishing"
    chromium.value("document.querySelector('#label-note').focus()")
    chromium.type("drains owners")
    chromium.value("document.querySelector('#author').focus()")
    chromium.type("ana")
    chromium.press("Enter")
    chromium.wait("document.querySelector('.head .tag')?.textContent == 'phishing'")
    (label,) = console.ledger.labels()
    assert (label.label, label.author, label.note) == ("phishing", "ana", "drains owners")
    assert label.alert_id == alert_id
    assert "is labelled phishing" in chromium.value("document.querySelector('#toast').innerText")
    chromium.press("u")
    chromium.wait("!document.querySelector('.head .tag')")
    assert console.ledger.labels() == []
    chromium.press("d")
    chromium.wait("document.querySelector('.head .tag')?.textContent == 'false_positive'")
    assert [one.label for one in console.ledger.labels()] == ["false_positive"]
    chromium.click("#toast button")
    chromium.wait("!document.querySelector('.head .tag')")
    assert console.ledger.labels() == []
    sound(chromium, console)


def test_undo_takes_back_nothing_that_was_said_before(chromium: Page, console: Console) -> None:
    """A label that was there already is told so, and stays when undo is pressed."""
    alert_id = console.alert("ice_phishing")
    visit(chromium, f"{console.url}#/alerts/{alert_id}")
    for _ in range(2):
        chromium.press("d")
        chromium.wait("!document.querySelector('#toast').hidden")
        chromium.wait("document.querySelector('.head .tag')?.textContent == 'false_positive'")
    chromium.wait("document.querySelector('#toast').innerText.includes('before')")
    chromium.press("u")
    chromium.press("?")
    assert [one.label for one in console.ledger.labels()] == ["false_positive"]


def test_a_wallet_has_its_labels_alerts_and_money(chromium: Page, console: Console) -> None:
    """The wallet's page lists what the ledger has of it; its label is set, told and taken back."""
    alert = console.ledger.alerts(AlertFilter(rule="exchange_drain"))[0]
    address = "0x" + alert.subject.hex()
    visit(chromium, console.url)
    chromium.press("/")
    chromium.type(address)
    chromium.press("Enter")
    chromium.wait("document.querySelector('#alerts-title ~ ol a')")
    listed = chromium.value(
        "[...document.querySelectorAll('#alerts-title ~ ol a')].map(e => e.hash.split('/')[2])"
    )
    wanted = AlertFilter(subject=alert.subject, status="all")
    assert listed == [one.id for one in console.ledger.alerts(wanted)]
    chromium.wait("document.querySelector('.money .node.centre')")
    assert "evidence" not in chromium.value("document.querySelector('#money-hint').innerText")
    chromium.press("l")
    chromium.wait("document.querySelector('#label-word')")
    chromium.type("exchange")
    chromium.press("Enter")
    chromium.wait("document.querySelector('#labels-title ~ ul .tag')?.textContent == 'exchange'")
    assert "said exchange" in chromium.wait("document.querySelector('#said-title ~ ul')?.innerText")
    chromium.click("#labels-title ~ ul button")
    chromium.wait("!document.querySelector('#labels-title ~ ul .tag')")
    assert console.ledger.labels() == []
    sound(chromium, console)


def every_page(console: Console) -> dict[str, str]:
    """One address of each kind of page."""
    alert = console.ledger.alerts(AlertFilter(rule="exchange_drain"))[0]
    return {
        "list": f"{console.url}#/alerts",
        "alert": f"{console.url}#/alerts/{alert.id}",
        "wallet": f"{console.url}#/wallets/0x{alert.subject.hex()}",
    }


def test_pages_fit_a_phone_and_pass_the_rules_of_accessibility(
    chromium: Page, console: Console
) -> None:
    """At 360 pixels nothing is cut off; axe finds no breach of WCAG 2.1 AA, light or dark."""
    if not SCRIPT.exists():
        pytest.skip("needs axe-core (tests/fetch_axe.py)")
    for name, url in every_page(console).items():
        for width, dark in ((360, False), (1280, True)):
            visit(chromium, url, width, dark=dark)
            assert chromium.value(CUT_OFF.replace("'.scroll'", "'.scroll, .frame'")) == [], name
            assert chromium.value("document.documentElement.scrollWidth") == width
            chromium.value(SCRIPT.read_text(encoding="utf-8") + "; 0")
            assert chromium.result(AXE) == [], (name, width, dark)
    sound(chromium, console)


HOSTILE_ADDRESS = "0x" + THIEF.hex()


def test_hostile_text_stays_text(chromium: Page, tmp_path: Path) -> None:
    """Markup, scripts and formulas of an attacker make no element, no link out and no request."""
    write(tmp_path)
    with serving(tmp_path) as console:
        for path in ("", f"#/alerts/{1:032x}", f"#/wallets/{HOSTILE_ADDRESS}"):
            visit(chromium, console.url + path)
            told: Any = chromium.value("document.querySelector('main').innerText")
            assert "<" in told
            assert "\u202e" not in told
            inside = "document.querySelectorAll('main script, main img, main iframe, main svg svg')"
            assert chromium.value(f"{inside}.length") == 0
            hosts = chromium.value("[...document.querySelectorAll('a')].map(e => e.host)")
            assert {host for host in hosts if host} == {console.url.split("/")[2]}
            assert chromium.value("document.title").endswith("– chainwarden")
            assert chromium.value("document.documentElement.scrollWidth") == 1280
        sound(chromium, console)


def test_a_token_is_asked_for_and_kept_for_the_tab(chromium: Page, out: Path) -> None:
    """Where a token is wanted the page asks until it is right, and shows nothing before."""
    with serving(out, "correct-horse-battery-staple") as console:
        chromium.open("about:blank", 1280)
        chromium.open(console.url, 1280)
        chromium.wait("document.querySelector('dialog[open] #token-text')")
        assert chromium.value(SHOWN) == []
        chromium.type("wrong")
        chromium.press("Enter")
        chromium.wait("document.querySelector('dialog[open] .problem')")
        chromium.type("correct-horse-battery-staple")
        chromium.press("Enter")
        chromium.wait("document.querySelector('.alerts li')")
        chromium.open("about:blank", 1280)
        visit(chromium, console.url)
        assert chromium.value("document.querySelector('dialog[open]')") is None
        assert "staple" not in str(chromium.requests) + chromium.value(
            "JSON.stringify(localStorage)"
        )
