"""The graph of the money in a real Chromium: what is drawn, where, and how it is moved."""

from __future__ import annotations

from store.ledger import AlertFilter
from tests.chromium import Page
from tests.console.conftest import Console, sound, visit


def addresses(page: Page) -> list[str]:
    """The wallets that are drawn."""
    return list(
        page.value("[...document.querySelectorAll('.money .node')].map(e => e.dataset.address)")
    )


def test_the_graph_shows_the_money_and_expands(chromium: Page, console: Console) -> None:
    """Edges carry amount and time, evidence stands out; a wallet that is chosen brings its own."""
    alert_id = console.alert("ice_phishing")
    visit(chromium, f"{console.url}#/alerts/{alert_id}")
    drawn = addresses(chromium)
    alert = console.ledger.alert(alert_id)
    assert alert is not None
    assert {"0x" + one.hex() for one in (alert.subject, *alert.evidence.addresses)} <= set(drawn)
    hot = "[...document.querySelectorAll('.money .edge.hot')]"
    amounts = chromium.value(f"{hot}.map(e => e.querySelector('.amount').textContent)")
    assert amounts
    assert all(
        amount.endswith(("USDC", "USDT", "DAI", "WETH", "WBTC", "ETH", "×)")) for amount in amounts
    )
    times = chromium.value(f"{hot}.map(e => e.querySelector('.when').textContent)")
    assert all(time.startswith("20") for time in times)
    payee = "0x" + alert.evidence.addresses[-1].hex()
    chromium.value(f"document.querySelector('[data-address=\"{payee}\"]').focus()")
    chromium.press("Enter")
    chromium.wait(f"document.querySelectorAll('.money .node').length > {len(drawn)}")
    assert set(drawn) < set(addresses(chromium))
    assert chromium.value("document.activeElement.dataset.address") == payee
    assert payee in chromium.value("document.querySelector('.picked').innerText")
    sound(chromium, console)


PLACES = """[...document.querySelectorAll('.money .node, .money .line')].map(
  e => e.getAttribute('transform') || e.getAttribute('d'))"""


def test_the_graph_is_always_laid_out_the_same(chromium: Page, console: Console) -> None:
    """Drawn twice, each wallet and edge is where it was; no two wallets overlap."""
    url = f"{console.url}#/alerts/{console.alert('exchange_drain')}"
    places = []
    for width in (360, 360, 1280, 900):
        visit(chromium, url, width)
        places.append(chromium.value(PLACES))
    assert places[0] == places[1] != places[2] == places[3]
    boxes = chromium.value(
        "[...document.querySelectorAll('.money .node rect')].map(e => e.getBoundingClientRect())"
        ".map(b => [b.left, b.top, b.right, b.bottom])"
    )
    assert len(boxes) > 3
    for at, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:at]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart


def test_the_graph_is_moved_and_magnified(chromium: Page, console: Console) -> None:
    """Dragging moves it, + and the buttons magnify it, Whole shows all of it again."""
    visit(chromium, f"{console.url}#/alerts/{console.alert('exchange_drain')}")
    transform = "document.querySelector('.money > g').getAttribute('transform')"
    chromium.click(".zoom button:last-child")
    whole = chromium.value(transform)
    box = chromium.value("document.querySelector('.money').getBoundingClientRect().toJSON()")
    start = {"x": box["x"] + 5, "y": box["y"] + 60}
    mouse = "Input.dispatchMouseEvent"
    chromium.call(mouse, type="mousePressed", button="left", clickCount=1, **start)
    for by in (10, 40):
        at = {"x": start["x"] + by, "y": start["y"] - by}
        chromium.call(mouse, type="mouseMoved", button="left", buttons=1, **at)
    chromium.call(mouse, type="mouseReleased", button="left", clickCount=1, **at)
    moved = chromium.value(transform)
    assert moved != whole
    chromium.value("document.querySelector('.money').focus()")
    chromium.press("+")
    assert chromium.value(transform).split("scale")[1] > moved.split("scale")[1]
    chromium.press("0")
    assert chromium.value(transform) == whole
    sound(chromium, console)


MISSED = """[...document.querySelectorAll('.money .edge')].filter(edge => {
  const [, to] = edge.dataset.key.split(' ');
  const wallet = document.querySelector(`[data-address="${to}"] rect`).getBoundingClientRect();
  const arrow = edge.querySelector('.arrow').getBoundingClientRect();
  const beside = Math.min(Math.abs(arrow.right - wallet.left), Math.abs(arrow.left - wallet.right));
  return beside > 1 || arrow.top < wallet.top || arrow.bottom > wallet.bottom;
}).map(edge => edge.dataset.key)"""


def test_every_arrow_meets_its_wallet(chromium: Page, console: Console) -> None:
    """However many pay one wallet, each arrow ends at its side, not above or below it."""
    visit(chromium, f"{console.url}#/alerts/{console.alert('key_compromise')}")
    assert chromium.value("document.querySelectorAll('.money .edge').length") > 8
    assert chromium.value(MISSED) == []
    sound(chromium, console)


SHOWN = """[...document.querySelectorAll('main h2')].filter(e => e.checkVisibility())
  .map(e => e.innerText)"""


def test_without_its_graph_a_page_says_why_and_waits_for_nothing(
    chromium: Page, console: Console
) -> None:
    """Where the graph does not come, the reason is shown beside all the rest of the page."""
    alert = console.ledger.alerts(AlertFilter(rule="key_compromise"))[0]
    chromium.call("Network.setBlockedURLs", urls=["*/api/v1/*/graph"])
    try:
        for path, there in (
            (f"alerts/{alert.id}", {"Why", "Evidence", "The wallet"}),
            (f"wallets/0x{alert.subject.hex()}", {"Alerts", "Labels", "Transfers"}),
        ):
            visit(chromium, f"{console.url}#/{path}")
            chromium.wait("document.querySelector('.problem')")
            shown = chromium.value("document.querySelector('main').innerText")
            assert "the server does not answer" in shown
            titles = chromium.value(SHOWN)
            assert there < set(titles)
            assert "Money flows" not in titles
    finally:
        chromium.call("Network.setBlockedURLs", urls=[])
