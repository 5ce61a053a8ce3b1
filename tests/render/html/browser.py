"""A headless Chromium, driven over the pipe of its DevTools protocol: no package is needed.

    with Browser() as browser:
        page = browser.open(path)
        page.evaluate("document.title")

Messages are JSON, each ended by a zero byte, on file descriptors 3 (to the browser) and 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""The program; None where there is none."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT_S = 60.0
PUT_PIPES = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(x), fcntl.F_DUPFD, 10) for x in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the pipes where the browser looks for them, whatever numbers they had here."""


class BrowserError(AssertionError):
    """The browser did not do what a test asked for."""


class Browser:
    """One browser process with a profile of its own."""

    def __init__(self, *flags: str) -> None:
        assert CHROMIUM is not None
        self._folder = tempfile.mkdtemp(prefix="mpkgraph-browser-")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PUT_PIPES,
                str(to_browser),
                str(from_browser),
                CHROMIUM,
                *FLAGS,
                *flags,
                f"--user-data-dir={self._folder}",
                "about:blank",
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._last_id = 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._out)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, target: str | Path = "about:blank", **options: Any) -> Page:
        """A new tab that shows a file or an address, once its graph is there."""
        created = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=created, flatten=True)["sessionId"]
        page = Page(self, session, created)
        self._pages[session] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.set_up(**options)
        if target != "about:blank":
            page.go(target)
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """A command's result. Raises BrowserError when it fails."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]

    def wait(self, seconds: float) -> None:
        """Takes in what the browser tells for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if b"\0" in self._buffer or select.select([self._in], [], [], seconds)[0]:
                self._receive(time.monotonic() + TIMEOUT_S, "events")

    def _receive(self, end: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise BrowserError(f"{what}: no answer")
            piece = os.read(self._in, 1 << 16)
            if not piece:
                raise BrowserError(f"{what}: the browser is gone")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.take(message["method"], message["params"])
        return message


class Page:
    """One tab: what it says on its console and asks of the network is kept."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser = browser
        self.session = session
        self.target = target
        self.console: list[str] = []
        """Errors, warnings and exceptions."""
        self.requests: list[str] = []
        """Addresses asked for, but for the page itself and `data:`."""

    def take(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(x.get("value")) for x in params["args"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if params.get("type") != "Document" and not url.startswith("data:"):
                self.requests.append(url)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def set_up(
        self,
        *,
        width: int = 1400,
        height: int = 900,
        dark: bool = False,
        media: str = "",
        still: bool = True,
    ) -> None:
        """Size and preferences; `still`: without animations."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        if still:
            features.append({"name": "prefers-reduced-motion", "value": "reduce"})
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def go(self, target: str | Path) -> None:
        """Shows a file or an address, and waits for the graph."""
        url = target.resolve().as_uri() if isinstance(target, Path) else target
        self.call("Page.navigate", url=url)
        self.until("window.mpkgraph !== undefined && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression (awaited). Raises BrowserError when it throws."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = TIMEOUT_S) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise BrowserError(f"{expression} stayed false; console: {self.console}")
            self.browser.wait(0.03)

    def settle(self) -> None:
        """Waits until nothing is left to be drawn."""
        self.until("!mpkgraph.isDirty && (mpkgraph.closure.isDone || mpkgraph.closure.row < 0)")

    def mouse(self, kind: str, x: float, y: float, **options: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)

    def move(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)

    def click(self, x: float, y: float, count: int = 1) -> None:
        """A click of the left button at a place of the window; `count` 2 is a double click."""
        self.move(x, y)
        for number in range(1, count + 1):
            self.mouse("mousePressed", x, y, button="left", clickCount=number, buttons=1)
            self.mouse("mouseReleased", x, y, button="left", clickCount=number)
        self.settle()

    def drag(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.move(x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)
        for step in range(1, 5):
            at = (x + (to_x - x) * step / 4, y + (to_y - y) * step / 4)
            self.mouse("mouseMoved", *at, button="left", buttons=1)
        self.mouse("mouseReleased", to_x, to_y, button="left", clickCount=1)
        self.settle()

    def wheel(self, x: float, y: float, delta: float) -> None:
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=delta)
        self.settle()

    def press(self, key: str, text: str = "") -> None:
        """One key, by its DOM name; a single character is typed."""
        text = text or (key if len(key) == 1 else {"Enter": "\r"}.get(key, ""))
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        codes |= {"ArrowDown": 40, "Tab": 9}
        code = codes.get(key, 0)
        self.call(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            key=key,
            text=text,
            windowsVirtualKeyCode=code,
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        self.settle()

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def click_element(self, selector: str) -> None:
        """Clicks the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.click(*box)

    def text(self, selector: str) -> str:
        """The text of an element as it is shown."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser._pages.pop(self.session, None)
