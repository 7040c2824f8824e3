"""Nodes of a cluster that lose power in the middle of a study."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.clusters import ROOT, Node, cluster
from tests.faults.conftest import Reference
from tests.faults.evidence import Evidence, judge
from tests.faults.harness import STUDY, Driver, is_worker, pause, until

KILLS = 3


def has_a_trial(node: Node) -> bool:
    return any(map(is_worker, node.workers()))


def test_study_survives_the_nodes_it_runs_on(tmp_path: Path, reference: Reference) -> None:
    """One of two raylets is killed and another joins, three times; the driver is at the head."""
    draw, kills, seconds, runs = random.Random(5), 0, 0.0, []
    with cluster(tmp_path, nodes=2, variables={"PYTHONPATH": str(ROOT)}) as ray_cluster:
        while kills < KILLS:
            folder = tmp_path / str(len(runs))
            with Driver(folder, "--address", ray_cluster.address, environment=ray_cluster.environment) as driver:
                while kills < KILLS:
                    node = ray_cluster.nodes[-1]
                    until(lambda n=node, d=driver: d.over() or has_a_trial(n), "the node has a trial", 600)
                    pause(draw, 0, 0.2 * reference.seconds)
                    if driver.over():
                        break
                    node.kill()
                    kills += 1
                    ray_cluster.add_node()
                assert driver.wait() == 0, driver.output
            seconds += driver.seconds - reference.seconds
            runs.append(Evidence(folder / "runs"))
    row = judge("SIGKILL of a node", kills, runs, reference.evidence, seconds_lost=seconds / kills)
    assert row.failed == 0


def test_submitted_study_survives_the_loss_of_a_node(tmp_path: Path, reference: Reference) -> None:
    """`ray job submit` to two raylets, one of which is killed: the numbers are those of the local reference."""
    study, runs = tmp_path / "study.yaml", tmp_path / "runs"
    study.write_text(yaml.safe_dump(STUDY))
    variables = {"PYTHONPATH": str(ROOT), "STUDY_STORAGE": str(runs)}
    with cluster(tmp_path, nodes=2, variables=variables) as ray_cluster, ThreadPoolExecutor(1) as pool:
        node, began = ray_cluster.nodes[-1], time.monotonic()
        job = pool.submit(ray_cluster.submit, f"study run {study}", timeout=900)
        until(lambda: job.done() or has_a_trial(node), "the node has a trial", 600)
        assert not job.done(), job.result().stdout
        pause(random.Random(6), 0, 0.2 * reference.seconds)
        node.kill()
        ray_cluster.add_node()
        done = job.result()
    assert done.returncode == 0, done.stdout
    seconds = time.monotonic() - began - reference.seconds
    row = judge("SIGKILL of a node, job submitted", 1, [Evidence(runs)], reference.evidence, seconds_lost=seconds)
    assert row.failed == 0
