"""What the compose file promises: nothing published but on loopback, no secret in it, every part watched and closed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.orchestration.serving.names import ImageKind
from tasks.orchestration.serving.table import CUDA_POOLS, rows

INFRA = Path(__file__).parents[2] / "infra"
FILE = INFRA / "compose.yaml"
SERVICES = YAML(typ="safe").load(FILE)["services"]
ONE_SHOT = {"folders", "bucket"} | {name for name in SERVICES if name.startswith("deploy")}
OURS = {name: each for name, each in SERVICES.items() if "stagegate/" in each["image"] and name != "ceph"}
SCRIPTS = sorted((INFRA / "compose").glob("*.sh"))
every = pytest.mark.parametrize("name", SERVICES)


def image(name):
    """The image of a service where nobody has set a variable."""
    return re.fullmatch(r"\$\{[A-Z_]+:-(.+)\}", SERVICES[name]["image"])[1]


@every
def test_a_service_is_watched_or_ends_by_itself(name):
    service = SERVICES[name]
    assert ("healthcheck" in service) != (name in ONE_SHOT)
    assert service["restart"] == ("unless-stopped" if name not in ONE_SHOT else service["restart"])
    assert name not in ONE_SHOT or service["restart"] in ("no", "on-failure")


@every
def test_a_service_is_closed(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] and service["mem_limit"]
    assert not {"privileged", "devices", "pid", "ipc", "env_file"} & service.keys()
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


def test_only_the_maker_of_folders_is_root():
    users = {name: service["user"] for name, service in SERVICES.items()}
    root = {name for name, user in users.items() if user.partition(":")[0] in ("0", "root")}
    assert root == {"folders"}
    assert (SERVICES["folders"]["network_mode"], SERVICES["folders"]["cap_add"]) == ("none", ["CHOWN"])
    assert {users[name] for name in OURS if name != "folders"} == {"10001:10001"}
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == ["folders"]


def test_ports_are_published_on_loopback_only():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports.keys() == {"server", "reports"}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)


def test_who_holds_data_or_runs_steps_is_on_the_inner_network_alone():
    outer = {name for name, service in SERVICES.items() if "edge" in service.get("networks", [])}
    assert outer == {"server", "reports"}
    assert "networks" not in SERVICES["folders"]
    assert YAML(typ="safe").load(FILE)["networks"]["inside"]["internal"] == "${STAGEGATE_INTERNAL:-true}"


def test_no_secret_stands_in_the_files():
    example = (INFRA / "compose" / "example.env").read_text()
    assert all(line.startswith("#") or not line for line in example.splitlines())
    secret = re.compile(r"PASSWORD|AUTH_STRING|SECRET_ACCESS_KEY|ACCESS_KEY_ID|API_KEY")
    for service in SERVICES.values():
        named = {name: value for name, value in service.get("environment", {}).items() if secret.search(name)}
        assert all(name.endswith("_FILE") and value.startswith("/run/secrets/") for name, value in named.items())
    assert ".env" in (INFRA / "compose" / ".gitignore").read_text().splitlines()
    assert "secrets/" in (INFRA / "compose" / ".gitignore").read_text().splitlines()


def test_every_secret_that_is_read_is_mounted():
    for service in SERVICES.values():
        read = {
            Path(str(value)).name for value in service.get("environment", {}).values() if "/run/secrets/" in str(value)
        }
        optional = {"s3_credentials"} if "deploy.py" in str(service.get("command")) else set()
        assert read - optional <= set(service.get("secrets", []))


def test_each_image_is_that_of_its_pool():
    wanted = {row.name: row.image for row in rows("docker") if row.flow == "run-step"}
    for name, service in SERVICES.items():
        if name.startswith("worker"):
            pool = service["command"][-1]
            assert image(name) == wanted[pool]
            (before,) = service["depends_on"]
            assert service["depends_on"][before] == {"condition": "service_completed_successfully"}
            assert SERVICES[before]["command"][-1] == pool and image(before) == image(name)
    assert image("server") == f"stagegate/{ImageKind.CORE}:cpu"


def test_a_gpu_is_reserved_where_a_cuda_pool_is_served():
    gpu = [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    with_gpu = {name for name, service in SERVICES.items() if "deploy" in service}
    assert with_gpu == {name for name, service in SERVICES.items() if str(service.get("command")).count("cuda")}
    for name in with_gpu:
        assert SERVICES[name]["deploy"]["resources"]["reservations"]["devices"] == gpu
        assert SERVICES[name]["profiles"] == ["cuda"]
        assert SERVICES[name]["command"][-1] in CUDA_POOLS


def test_secrets_are_made_once_and_closed_to_others(tmp_path):
    folder = tmp_path / "secrets"
    script = [str(INFRA / "compose" / "secrets.sh"), str(folder)]
    subprocess.run(script, check=True, capture_output=True)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    again = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert first == {path.name: path.read_text() for path in folder.iterdir()}
    assert again.count("kept") == len(first) == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(r"stagegate:[0-9a-f]{48}", first["auth"])
    assert first["postgres_password"] not in first["auth"]


def test_a_secret_becomes_a_variable_of_the_program_only(tmp_path):
    (tmp_path / "auth").write_text("stagegate:a b$c")
    run = [str(INFRA / "compose" / "with-secrets.sh"), "sh", "-c", 'printf "%s|" "$PREFECT_API_AUTH_STRING"; env']
    env = {"PATH": os.environ["PATH"], "PREFECT_API_AUTH_STRING_FILE": str(tmp_path / "auth")}
    said = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout
    assert said.startswith("stagegate:a b$c|") and "_FILE" not in said
    gone = subprocess.run(run, env=env | {"PREFECT_API_AUTH_STRING_FILE": "/absent"}, capture_output=True, text=True)
    assert gone.returncode == 2 and "/absent cannot be read" in gone.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_run_and_are_shell(script):
    assert os.access(script, os.X_OK)
    shell = script.read_text().splitlines()[0].removeprefix("#!").split()[-1]
    assert subprocess.run([shell if shell.startswith("/") else shutil.which(shell), "-n", str(script)]).returncode == 0


def test_compose_itself_takes_the_file():
    """Compose 2 as a plugin, or Debian's 1.29."""
    plugin = ["docker", "compose"]
    if not (shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0):
        plugin = ["docker-compose"]
        if not shutil.which(plugin[0]):
            pytest.skip("neither docker compose nor docker-compose is installed")
    profiles = ["--profile", "torch", "--profile", "cuda", "--profile", "s3-demo"]
    done = subprocess.run([*plugin, "-f", str(FILE), *profiles, "config"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("127.0.0.1") and "internal: true" in done.stdout
