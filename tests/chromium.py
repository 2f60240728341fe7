"""A real Chromium for the tests: pages opened without a window, watched through DevTools."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.sync.client import ClientConnection, connect

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
_PATIENCE: Final = 60.0


@dataclass
class Page:
    """A tab and what it did: ``requests`` are the URLs it asked for, ``errors`` its complaints."""

    connection: ClientConnection
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _serial: int = 0
    _loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a DevTools command; what happens meanwhile is noted."""
        self._serial += 1
        message = {"id": self._serial, "method": method, "params": parameters}
        self.connection.send(json.dumps(message))
        while True:
            answer = self._receive()
            if answer.get("id") == self._serial:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, url: str, width: int, *, dark: bool = False) -> None:
        """Load a page ``width`` pixels wide, and wait until it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=800, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self._loaded = False
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._receive()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression says about the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def result(self, expression: str) -> Any:
        """What a promise of the page ends in."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """What an expression says once it is true, of an element true; the page has a minute."""
        end = time.monotonic() + _PATIENCE
        asked = f"(found => found instanceof Node ? true : found)({expression})"
        while not (found := self.value(asked)):
            assert time.monotonic() < end, f"never true: {expression}; {self.errors}"
            time.sleep(0.03)
        return found

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as on a keyboard: a character, or a key's name."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0)
            pressed = {"key": key, "text": text, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        """Put a text where the focus is, in place of what is selected."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click into the middle of the first element of a CSS selector, with the mouse."""
        quoted = json.dumps(selector)
        self.value(f"document.querySelector({quoted}).scrollIntoView({{block: 'center'}})")
        box = self.value(f"document.querySelector({quoted}).getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The whole page, or what of it is in the window, as a PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(timeout=_PATIENCE))
        about = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Network.loadingFailed" if not about.get("canceled"):
                self.errors.append(about["errorText"])
            case "Log.entryAdded":
                self.errors.append(about["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.errors.append(str(about["args"]))
            case "Page.loadEventFired":
                self._loaded = True
        return message


@contextmanager
def browser() -> Iterator[Page]:
    """A Chromium with nothing in it, and its one tab; gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with connect(_tab(Path(profile), process), max_size=None) as connection:
                page = Page(connection)
                for domain in ("Page", "Network", "Log", "Runtime"):
                    page.call(f"{domain}.enable")
                yield page
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def dump_dom(url: str, width: int) -> str:
    """The page's document after it was loaded, as HTML."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},800",
             "--dump-dom", url],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=True,
        )  # fmt: skip
    return done.stdout


def _tab(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """The address of the first tab's DevTools."""
    import urllib.request

    port_file = profile / "DevToolsActivePort"
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, "chromium ended at once"
        if port_file.exists() and (lines := port_file.read_text(encoding="utf-8").splitlines()):
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                for target in json.load(answer):
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise TimeoutError("chromium opened no tab")


@pytest.fixture
def chromium() -> Iterator[Page]:
    """A tab of a real Chromium."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium (tests/fetch_chromium.sh, or Debian's package)")
    with browser() as page:
        yield page
