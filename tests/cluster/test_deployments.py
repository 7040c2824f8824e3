"""The cluster's descriptions: valid for who reads them, closed to the world, and of the versions that are locked."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCHED = ("cluster.yaml", "deploy/on-premises.yaml")
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").glob("*.sh"))


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def manifests() -> dict[str, dict[str, Any]]:
    """By kind; of several of one kind the last."""
    return {one["kind"]: one for one in yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text())}


def texts(value: Any) -> Iterator[str]:
    """Every text in a tree of mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def locked(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.filterwarnings("ignore")  # Ray's own, at import
@pytest.mark.parametrize("name", LAUNCHED)
def test_rays_own_validator_takes_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(load(name))
    validate_config(prepared)
    assert prepared["head_setup_commands"] == prepared["setup_commands"]  # nothing of Ray's defaults besides
    assert prepared["worker_setup_commands"] == prepared["setup_commands"]


@pytest.mark.filterwarnings("ignore")
def test_rays_validator_refuses_a_misspelt_key() -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError, match="idle_timout"):
        validate_config(prepare_config(load("cluster.yaml") | {"idle_timout": 3}))


@pytest.mark.parametrize("name", [*LAUNCHED, "deploy/kuberay.yaml", *SCRIPTS])
def test_no_port_is_open_to_the_world(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "0.0.0.0/0" not in text
    assert "::/0" not in text
    for listened in re.findall(r"--(?:dashboard-)?host[= ,]+(\S+)", text):
        assert listened.rstrip(",") in ("127.0.0.1", "0.0.0.0"), listened
        assert listened == "127.0.0.1" or name == "deploy/kuberay.yaml", "of a pod, behind a network policy"


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_node_is_given_the_token_and_asks_for_it(name: str) -> None:
    cluster = load(name)
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "export RAY_AUTH_MODE=token" in (ROOT / "deploy/cluster.env").read_text().splitlines()
    assert cluster["setup_commands"] == ["bash ~/deploy/node.sh ~/requirements.lock ~/deploy/cluster.env"]
    for local in cluster["file_mounts"].values():
        assert local.startswith("~") or (ROOT / local).exists()


def test_every_aws_node_lies_in_a_security_group_of_ones_own() -> None:
    """Where a node names none, Ray makes one that lets in ssh from everywhere."""
    for node in load("cluster.yaml")["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}


def test_gpu_workers_are_spot_and_none_runs_while_there_is_nothing_to_do() -> None:
    cluster = load("cluster.yaml")
    gpu = cluster["available_node_types"]["gpu"]
    assert gpu["min_workers"] == 0 < gpu["max_workers"] <= cluster["max_workers"]
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert cluster["available_node_types"][cluster["head_node_type"]]["resources"] == {"CPU": 0}


@pytest.mark.parametrize("name", LAUNCHED)
def test_its_shell_commands_parse(name: str) -> None:
    commands = [text for key, value in load(name).items() if key.endswith("_commands") for text in texts(value)]
    assert len(commands) >= 3
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("name", [*SCRIPTS, "deploy/cluster.env", "deploy/slurm.sbatch"])
def test_its_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)


STUB = """#!/bin/sh
printf '%s ' "$(basename "$0")" "$@" | tr '\\n' ' ' >>"$CALLS"; echo >>"$CALLS"
case "$*" in
    *get-role*) exit $NO_ROLE ;;
    *service-linked-role*) exit 254 ;;
    *sts*) echo 123456789012 ;;
    *create-security-group*) echo sg-1 ;;
    *checkip*) echo 198.51.100.7 ;;
esac
"""


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("no_role", ["254", "0"])
def test_what_is_made_on_aws_is_closed_to_the_world_in_every_region_and_the_role_made_once(
    region: str, no_role: str, tmp_path: Path
) -> None:
    for name in ("aws", "curl"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "NO_ROLE": no_role}
    script = ["bash", ROOT / "deploy/aws.sh", region, "my-bucket"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert f"region: {region}, SecurityGroupIds: [sg-1]" in done.stdout
    made = calls.read_text()
    assert "LocationConstraint" not in made  # which us-east-1 refuses
    assert re.findall(r"--cidr (\S+)", made) == ["198.51.100.7/32"]
    assert "BlockPublicPolicy=true" in made
    assert made.count("create-role") == made.count("create-instance-profile") == (no_role != "0")
    (policy,) = re.findall(r"put-role-policy .*--policy-document (.*)", made)
    allowed = json.loads(policy)["Statement"]
    assert [s["Resource"] for s in allowed if "s3:PutObject" in s["Action"]] == ["arn:aws:s3:::my-bucket/*"]


def test_a_variable_that_is_set_before_keeps_its_value() -> None:
    printed = 'printf "%s %s" "$STUDY_STORAGE" "$MLFLOW_TRACKING_URI"'
    script = f". {ROOT}/deploy/cluster.env; {printed}"
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/home/of-nobody", "STUDY_STORAGE": "/mnt/runs"}
    said = subprocess.run(["bash", "-uc", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "/mnt/runs http://127.0.0.1:5000"


def test_versions_are_those_of_the_lock() -> None:
    assert manifests()["RayCluster"]["spec"]["rayVersion"] == locked("ray")
    lowest = re.search(r"requires-python = \">=([\d.]+)", (ROOT / "pyproject.toml").read_text())
    assert lowest is not None
    assert f"PYTHON_VERSION={lowest[1]}\n" in (ROOT / "deploy/node.sh").read_text()
    assert f"FROM python:{lowest[1]}-" in (ROOT / "deploy/Dockerfile").read_text()


def test_versions_commands_and_launcher_are_written_once() -> None:
    """In deploy/: what installs uv, what `ray start` is given on every node, what `study` is there."""
    files = [ROOT / "cluster.yaml", *(path for path in (ROOT / "deploy").iterdir() if path.is_file())]
    texts = {path.name: path.read_text() for path in files}

    def where(written: str) -> list[str]:
        return [name for name, text in texts.items() if re.search(written, text)]

    version = re.fullmatch(r"uv==([\d.]+)\n", texts["uv.txt"])
    assert version is not None
    assert where(re.escape(version[1])) == ["uv.txt"]
    assert set(where(r"uv\.txt")) == {"node.sh", "Dockerfile"}
    assert where(r"-m study\.cli") == ["study"]
    for option in ("--object-manager-port", "--disable-usage-stats", "ulimit"):
        assert where(option) == ["start.sh"], option
    starts = [[load(name)[f"{kind}_start_ray_commands"] for name in LAUNCHED] for kind in ("head", "worker")]
    assert all(of_aws == of_machines for of_aws, of_machines in starts)


@pytest.mark.parametrize("head", [True, False])
def test_a_node_starts_ray_anew_with_mlflow_beside_the_head_only(head: bool, tmp_path: Path) -> None:
    for name in ("ray", "curl"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    (command,) = load("cluster.yaml")[f"{'head' if head else 'worker'}_start_ray_commands"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), "RAY_HEAD_IP": "10.0.0.1"}
    command = command.replace("~/deploy", str(ROOT / "deploy"))
    subprocess.run(["bash", "-c", command], env=environment, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].split() == ["ray", "stop"]
    assert ("curl" in calls[1]) == head  # MLflow answers: it is not started again
    started = calls[-1].split()
    assert started[:2] == ["ray", "start"]
    common = {"--object-manager-port=8076", "--disable-usage-stats"}
    of_head = {
        "--head",
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
        "--port=6379",
        "--dashboard-host=127.0.0.1",
    }
    assert set(started[2:]) == common | (of_head if head else {"--address=10.0.0.1:6379"})


def test_the_lock_has_what_starts_nodes_on_aws_and_writes_to_s3() -> None:
    assert locked("boto3")


@pytest.mark.parametrize("name", ["deploy/node.sh", "deploy/Dockerfile"])
def test_packages_are_installed_from_the_lock_with_its_hashes(name: str) -> None:
    assert re.search(r"pip sync [^\n]*--require-hashes", (ROOT / name).read_text())


# The fields that KubeRay's custom resource definitions require: those without `omitempty` in
# https://github.com/ray-project/kuberay/blob/master/ray-operator/apis/ray/v1/raycluster_types.go
HEAD_REQUIRES = {"rayStartParams", "template"}
GROUP_REQUIRES = {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def test_the_manifest_has_what_kuberays_schema_requires() -> None:
    cluster = manifests()["RayCluster"]
    assert (cluster["apiVersion"], cluster["spec"]["authOptions"]) == ("ray.io/v1", {"mode": "token"})
    head, groups = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    assert set(head) >= HEAD_REQUIRES
    assert all(set(group) >= GROUP_REQUIRES for group in groups)
    for group in (head, *groups):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)


def test_the_manifests_pods_find_their_volumes_variables_and_server() -> None:
    kinds = list(yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text()))
    claims = {one["metadata"]["name"] for one in kinds if one["kind"] == "PersistentVolumeClaim"}
    cluster, server, service = (manifests()[kind] for kind in ("RayCluster", "Deployment", "Service"))
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for pod in (*(group["template"] for group in groups), server["spec"]["template"]):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "emptyDir" not in v} <= claims
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    variables = manifests()["ConfigMap"]
    assert groups[0]["template"]["spec"]["containers"][0]["envFrom"] == [
        {"configMapRef": {"name": variables["metadata"]["name"]}}
    ]
    address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert variables["data"]["MLFLOW_TRACKING_URI"] == address
    assert service["spec"]["selector"] == server["spec"]["template"]["metadata"]["labels"]
    assert manifests()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == service["spec"]["selector"]


def test_every_pod_runs_as_the_images_user_to_whose_group_a_fresh_volume_is_given() -> None:
    found = re.search(r"useradd --uid (\d+) .*\nUSER ray\n", (ROOT / "deploy/Dockerfile").read_text())
    assert found is not None
    user = int(found[1])
    cluster, server = manifests()["RayCluster"], manifests()["Deployment"]
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for pod in (*(group["template"] for group in groups), server["spec"]["template"]):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {user}
        assert context["fsGroupChangePolicy"] == "OnRootMismatch"  # not each file of a full volume, at every start


def test_nothing_is_a_load_balancer_or_node_port() -> None:
    assert not {"LoadBalancer", "NodePort"} & set(texts(list(manifests().values())))
