"""A headless Chromium that tests drive through its DevTools protocol; aiohttp, which Ray brings, speaks it."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking",
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """The browser's path, or ``None``."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Tab:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._count = socket, 0

    async def call(self, method: str, **given: Any) -> Any:
        """The result of a command of the protocol."""
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": given})
        while True:
            answer = await self._socket.receive_json(timeout=60)
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    async def value(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, (script, found)
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = 60) -> Any:
        """Wait until the expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):  # the page is being replaced
                if found := await self.value(script):
                    return found
            time.sleep(0.1)
        raise AssertionError(f"{script} is not true: {await self.value('document.body.innerText')}")

    async def open(self, address: str) -> None:
        """Go there."""
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def give_files(self, selector: str, files: list[Path]) -> None:
        """Choose files, or a folder, in an input field."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    async def drop_files(self, selector: str, files: list[Path]) -> None:
        """Drag files or folders from the desktop over an element, and drop them there."""
        box = await self.value(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self.call("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    async def screenshot(self, path: Path, width: int = 1100, height: int = 0) -> None:
        """A PNG of the page: the whole of it, or its first ``height`` pixels."""
        size = {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        shown = await self.call("Page.captureScreenshot", captureBeyondViewport=not height)
        path.write_bytes(base64.b64decode(shown["data"]))

    async def pdf(self, path: Path) -> None:
        """The page as it prints on A4."""
        printed = await self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        path.write_bytes(base64.b64decode(printed["data"]))


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Tab]:
    """A tab of a new browser with an empty profile."""
    import aiohttp

    path = find_chromium()
    assert path is not None
    command = [path, *" ".join(FLAGS).split(), f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        known = profile / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (known.exists() and known.read_text().strip()):
            assert time.monotonic() < end, "the browser did not start"
            time.sleep(0.1)
        port = known.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = json.loads(await answer.text())
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Page.enable")
                yield tab
    finally:
        process.terminate()
        process.wait(30)
