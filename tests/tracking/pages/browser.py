"""Chromium without a window, told what to do over its DevTools protocol."""

import asyncio
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@contextmanager
def browser(profile: Path) -> Iterator[int]:
    """The port of a browser that has seen nothing yet."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
               "--window-size=1500,1200", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            said, end = profile / "DevToolsActivePort", time.monotonic() + 60
            while not said.exists() or not said.read_text():
                assert time.monotonic() < end
                time.sleep(0.1)
            yield int(said.read_text().splitlines()[0])
        finally:
            process.terminate()


def look(port: int, address: str, words: list[str], seconds: float) -> tuple[str, str, list[str]]:
    """The address and the text of a page once it shows the words or the time is over, and the errors it threw."""
    return asyncio.run(_look(port, address, words, seconds))


async def _look(port: int, address: str, words: list[str], seconds: float) -> tuple[str, str, list[str]]:
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as made:
            target = (await made.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(target, max_msg_size=0) as socket:
            numbers, thrown = itertools.count(), []

            async def call(method: str, **params: Any) -> Any:
                number = next(numbers)
                await socket.send_json({"id": number, "method": method, "params": params})
                while True:
                    answer = json.loads((await socket.receive()).data)
                    if answer.get("method") == "Runtime.exceptionThrown":
                        thrown.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
                    if answer.get("id") == number:
                        return answer.get("result", {})

            async def value(expression: str) -> str:
                return (await call("Runtime.evaluate", expression=expression))["result"].get("value", "")

            await call("Runtime.enable")
            await call("Page.navigate", url=address)
            shown, end = "", time.monotonic() + seconds
            while not all(word in shown for word in words) and time.monotonic() < end:
                await asyncio.sleep(0.5)
                shown = " ".join((await value("document.body.innerText")).split())
            return await value("location.href"), shown, thrown
