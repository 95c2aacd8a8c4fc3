"""What was answered is kept: kills at any moment, many writers at once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("google.cloud.aiplatform_v1", exc_type=ImportError)
ENDPOINTS = "/v1/projects/p-123456/locations/us-central1/endpoints"
KILLS = 12


class Killed:
    """An emulator that is killed and started again, always at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        from nbvertex.emulator import hosting

        wanted = hosting.Wanted(self.folder, project="p-123456", bucket="b-123456")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbvertex.emulator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process.stdin.write(json.dumps(wanted.settings(leased=True)) + "\n")
        self.process.stdin.flush()
        self.url = json.loads(self.process.stdout.readline())["url"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, verb: str, path: str, data: bytes = b"", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.request(verb, path, data, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    """One in a folder of the test's own."""
    made = Killed(tmp_path / "emulator")
    yield made
    made.kill()


def test_what_was_answered_outlives_kills(killed: Killed) -> None:
    """Twelve kills at any moment, under four writers: nothing acknowledged is lost or half there."""
    acknowledged: list[tuple[str, str]] = []
    ended = threading.Event()

    def write(worker: int) -> None:
        chance, number = random.Random(worker), 0
        while not ended.is_set():
            number += 1
            name = f"w{worker}-{number}"
            try:
                if chance.random() < 0.5:
                    path = f"/upload/storage/v1/b/b-123456/o?uploadType=media&name=d/{name}"
                    status, _ = killed.ask("POST", path, name.encode() * 500)
                    kind = "object"
                else:
                    body = json.dumps({"displayName": name}).encode()
                    status, _ = killed.ask("POST", ENDPOINTS, body, **{"Content-Type": "application/json"})
                    kind = "endpoint"
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
                continue
            if status == 200:
                acknowledged.append((kind, name))

    workers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.02, 0.3))
        killed.kill()
        killed.start()
    ended.set()
    for worker in workers:
        worker.join()

    assert len(acknowledged) > KILLS
    status, data = killed.ask("GET", f"{ENDPOINTS}?pageSize=1000")
    names = {one["displayName"] for one in json.loads(data).get("endpoints", [])}
    token = json.loads(data).get("nextPageToken")
    while token:
        status, data = killed.ask("GET", f"{ENDPOINTS}?pageSize=1000&pageToken={token}")
        names |= {one["displayName"] for one in json.loads(data).get("endpoints", [])}
        token = json.loads(data).get("nextPageToken")
    assert {name for kind, name in acknowledged if kind == "endpoint"} <= names
    for name in (name for kind, name in acknowledged if kind == "object"):
        status, data = killed.ask("GET", f"/storage/v1/b/b-123456/o/d%2F{name}?alt=media")
        assert (status, data) == (200, name.encode() * 500)
    with sqlite3.connect(killed.folder / "state.db") as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_of_many_wins(killed: Killed) -> None:
    """Sixteen writers who all want the object not to be there yet: one of them made it."""
    path = "/upload/storage/v1/b/b-123456/o?uploadType=media&name=lock&ifGenerationMatch=0"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: killed.ask("POST", path, str(number).encode())[0], range(16)))
    assert sorted(found) == [200] + [412] * 15


def test_a_resumable_upload_goes_on_after_a_kill(killed: Killed) -> None:
    """The emulator knows how far it had come."""
    connection = http.client.HTTPConnection(urlsplit(killed.url).netloc)
    connection.request("POST", "/upload/storage/v1/b/b-123456/o?uploadType=resumable", b'{"name": "big"}')
    where = urlsplit(connection.getresponse().headers["Location"])
    connection.close()
    data = os.urandom(3 << 20)
    target = f"{where.path}?{where.query}"
    status, _ = killed.ask(
        "PUT", target, data[: 1 << 20], **{"Content-Range": f"bytes 0-{(1 << 20) - 1}/{len(data)}"}
    )
    assert status == 308
    killed.kill()
    killed.start()
    status, _ = killed.ask("PUT", target, b"", **{"Content-Range": f"bytes */{len(data)}"})
    assert status == 308
    rest = {"Content-Range": f"bytes {1 << 20}-{len(data) - 1}/{len(data)}"}
    assert killed.ask("PUT", target, data[1 << 20 :], **rest)[0] == 200
    assert killed.ask("GET", "/storage/v1/b/b-123456/o/big?alt=media") == (200, data)
    assert killed.ask("PUT", target, b"", **{"Content-Range": f"bytes */{len(data)}"})[0] == 200
