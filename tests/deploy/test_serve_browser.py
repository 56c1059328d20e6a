"""The served page in a real browser: a study is given, its result is looked at, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.chromium import browser, find_chromium
from tests.deploy.conftest import Finished

pytest.importorskip("uvicorn", reason="uvicorn is not installed: extra serve")


@pytest.fixture
def served(finished: Finished, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address with the token of a real server, and the folder of its temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "branchpoint.commands.cli", "serve", str(finished.bundle), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/login\?token=\S+", line)
        assert found, line
        yield found.group(), temporary
        server.send_signal(signal.SIGTERM)
        said = server.communicate(timeout=60)[0]
        assert server.returncode == 0
        assert "stranger" not in said
        assert "CHUM" not in said
        ends = [line.split(" in ")[0] for line in said.splitlines() if line.startswith("study")]
        assert ends == ["study 1: done", "study 2: failed (which-files)"]
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(find_chromium() is None, reason="no chromium on this machine")
def test_a_study_is_given_and_its_page_looked_at(served: tuple[str, Path], strangers: Path, tmp_path: Path) -> None:
    address, temporary = served
    pictures = Path(os.environ.get("BRANCHPOINT_SCREENSHOTS") or tmp_path)
    first = sorted(strangers.glob("*_ct.nii.gz"))[0]
    files = [first, first.with_name(first.name.replace("_ct.", "_pt."))]
    folder = tmp_path / "dropped" / "study"
    (folder / "series").mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / "series")

    async def look() -> None:
        async with browser(tmp_path / "profile") as tab:
            await tab.open(address.split("/login")[0])
            assert "token" in await tab.value("document.body.innerText")
            await tab.screenshot(pictures / "login.png", height=500)
            await tab.open(address)
            assert await tab.value("document.querySelector('#go').disabled")
            assert not await tab.value("document.cookie"), "scripts cannot read the token"
            await tab.drop_files("#drop", [folder])
            await tab.until("!document.querySelector('#go').disabled")
            said = await tab.value("document.querySelector('#chosen').innerText")
            assert "study/series/" in said, "the folder was walked"
            assert "_pt.nii.gz" in said
            await tab.value("document.querySelector('#label').value = 'stranger'")
            await tab.screenshot(pictures / "home.png", height=760)
            await tab.value("document.querySelector('#go').click()")
            await tab.until("document.body.dataset.state === 'done'", 120)
            assert not list(temporary.glob("branchpoint-serve-*/*/upload")), "what was sent is removed"
            page = "document.querySelector('iframe').contentDocument"
            await tab.until(f"{page}?.querySelectorAll('.views img').length >= 6")
            assert await tab.value(f"[...{page}.images].every((image) => image.complete && image.naturalWidth > 0)")
            assert "Not for clinical use" in await tab.value(f"{page}.body.innerText")
            assert "percentile" in await tab.value(f"{page}.body.innerText")
            await tab.screenshot(pictures / "result.png", height=900)
            alone = await tab.value("document.querySelector('iframe').src")
            await tab.open(alone)
            await tab.screenshot(pictures / "page.png")
            await tab.pdf(pictures / "page.pdf")
            await tab.call("Page.navigateToHistoryEntry", entryId=(await _history(tab))[-2])
            await tab.until("document.body.dataset.state === 'done'")
            await tab.value("document.querySelector('form button').click()")
            await tab.until("document.readyState === 'complete' && document.querySelector('#drop') !== null")
            assert not list(temporary.glob("branchpoint-serve-*/*/*")), "a deleted study leaves nothing"

            await tab.give_files("#files", files[:1])
            await tab.until("!document.querySelector('#go').disabled")
            await tab.value("document.querySelector('#go').click()")
            await tab.until("document.body.dataset.state === 'failed'", 60)
            assert "which-files" in await tab.value("document.body.innerText")
            await tab.screenshot(pictures / "failed.png", height=500)

    asyncio.run(look())


async def _history(tab) -> list[int]:  # type: ignore[no-untyped-def]
    found = await tab.call("Page.getNavigationHistory")
    return [entry["id"] for entry in found["entries"]]
