"""The report in a real browser: figures are drawn, nothing overflows or is loaded, and texts are no markup."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.report import write_report
from branchpoint.store import FigureRecord, Store
from tests.deploy.chromium import browser, find_chromium
from tests.report.conftest import STUDY

HOSTILE = "<img src=x onerror=document.title='hacked'></script><script>document.title='hacked'</script>"
LONG = "Cox on log volume and log maximum of the largest PET component above SUV 2.5, with best found"


@pytest.mark.skipif(find_chromium() is None, reason="no chromium on this machine")
def test_the_page_at_two_widths(study: Store, tmp_path: Path) -> None:
    figure = FigureRecord(
        study=STUDY, label=LONG, task="tumour", metric="dice", value=0.5, low=0.4, high=0.6, n=9, kind="reference"
    )
    others = [replace(figure, metric=f"metric_{number}") for number in range(12)]
    study.writer(STUDY).figures([figure, replace(figure, label=HOSTILE), *others])
    page = write_report(study, STUDY, tmp_path / "report.html")
    assert page.stat().st_size < 3 * 2**20
    pictures = Path(os.environ.get("BRANCHPOINT_SCREENSHOTS") or tmp_path)

    async def look() -> None:
        async with browser(tmp_path / "profile") as tab:
            await tab.open(page.as_uri())
            await tab.until(
                "document.querySelectorAll('.plot').length === document.querySelectorAll('.main-svg').length / 3"
            )
            for width in (1280, 390):
                await tab.screenshot(pictures / f"report-{width}.png", width)
                assert await tab.value("innerWidth") == width
                assert await tab.value("document.documentElement.scrollWidth") <= width
            assert "hacked" not in await tab.value("document.title")
            assert await tab.value("performance.getEntriesByType('resource').length") == 0
            answer = await tab.value("document.querySelector('.answer').innerText")
            assert "tumour: Dice on test patients: 0.610" in answer

    asyncio.run(look())
