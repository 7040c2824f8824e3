"""An MLflow server that is killed while trials run, and comes back."""

import random
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.clusters import free_ports
from tests.faults.conftest import Reference
from tests.faults.evidence import Evidence, judge
from tests.faults.harness import Driver, end, pause, until

OUTAGES = 3
OUTAGE = 30
"""Seconds."""


class Server:
    """MLflow's, over a database in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.database, self.port = folder, folder / "server.db", free_ports(1)[0]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("a") as log:
            self.process = psutil.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        until(self.answers, "the MLflow server answers")

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        end([*self.process.children(recursive=True), self.process])
        self.process.wait(30)


def test_what_a_killed_tracking_server_missed_is_there_afterwards(tmp_path: Path, reference: Reference) -> None:
    draw, outages, seconds, runs = random.Random(4), 0, 0.0, []
    while outages < OUTAGES:
        folder = tmp_path / str(len(runs))
        server = Server(folder / "server")
        try:
            with Driver(folder, "--tracking-uri", server.uri) as driver:
                while not driver.over() and outages < OUTAGES:
                    until(lambda d=driver: d.workers() or d.over(), "a worker has a trial")
                    pause(draw, 0, 0.2 * reference.seconds)
                    if driver.over():
                        break
                    server.kill()
                    time.sleep(OUTAGE)
                    server.start()
                    outages += 1
                assert driver.wait() == 0, driver.output
            seconds += driver.seconds - reference.seconds
            if "not completely in MLflow" in driver.output:  # the study ended first: then another run sends the rest
                with Driver(folder, "--tracking-uri", server.uri) as driver:
                    assert driver.wait() == 0, driver.output
        finally:
            server.kill()
        assert "MLflow does not answer" in driver.output
        runs.append(Evidence(folder / "runs", server.database))
    judge("MLflow unreachable for 30 s", outages, runs, reference.evidence, seconds_lost=seconds / outages)
