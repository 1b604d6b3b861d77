"""What an image is built from, and what is said where it cannot be built. No engine needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.errors import DependencyError, MissingInputError
from tasks.orchestration.serving import engine as engines
from tasks.orchestration.serving import sources, wheelhouse

IMAGES = [sys.executable, "-m", "tasks.orchestration.serving.images"]


@pytest.fixture
def tree(tmp_path):
    """A small copy of both packages."""
    for package in sources.PACKAGES:
        (tmp_path / package).mkdir()
        shutil.copy(sources.INSTALLED / package / "__init__.py", tmp_path / package)
    return tmp_path


def test_the_wheel_holds_the_code_of_the_tree(tmp_path):
    assert sources.wheel_code(wheelhouse.project_wheel(tmp_path)) == sources.tree_code()


def test_the_code_digest_sees_a_byte_and_a_name(tree):
    before = sources.tree_code(tree)
    (tree / "flows" / "__init__.py").write_text("# other\n")
    changed = sources.tree_code(tree)
    (tree / "flows" / "__init__.py").rename(tree / "flows" / "other.py")
    assert len({before, changed, sources.tree_code(tree)}) == 3


def test_the_code_digest_does_not_see_compiled_files(tree):
    before = sources.tree_code(tree)
    (tree / "tasks" / "__pycache__").mkdir()
    (tree / "tasks" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert sources.tree_code(tree) == before


def test_an_installed_package_says_that_a_checkout_is_needed(tree, monkeypatch):
    monkeypatch.setattr(sources, "INSTALLED", tree)
    with pytest.raises(MissingInputError, match=r"images are built from a checkout.*Clone the repository"):
        sources.project_root()


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://someone:secret@example.org/a/b.git", ["https://example.org/a/b.git"]),
        ("ssh://git@example.org/a/b.git", ["ssh://example.org/a/b.git"]),
        ("/srv/git/b.git", []),
        ("", []),
    ],
)
def test_the_source_label_tells_no_secret_and_no_local_folder(remote, source):
    assert list(sources._addresses(remote)) == source


def test_the_framework_of_an_image_follows_its_accelerator():
    assert wheelhouse.requirements("tf", "cpu")[0].startswith("tensorflow-cpu")
    assert wheelhouse.requirements("tf", "cuda")[0].startswith("tensorflow[and-cuda]")
    assert {"torch==2.13.0", "rasterio"} <= set(wheelhouse.requirements("torch", "cuda"))
    assert "async-timeout" in wheelhouse.requirements("core", "cpu")


@pytest.mark.parametrize(
    ("accelerator", "wheel"), [("cpu", "nvidia_cudnn_cu12-9.whl"), ("cuda", "torch-2.13.0+cpu-cp311.whl")]
)
def test_wheels_for_the_other_accelerator_are_refused(accelerator, wheel):
    wheelhouse.check_accelerator(["numpy-2.4.6-cp311.whl"], accelerator)
    with pytest.raises(DependencyError, match=f"wheels are not for {accelerator}"):
        wheelhouse.check_accelerator(["numpy-2.4.6-cp311.whl", wheel], accelerator)


def test_the_wheelhouse_is_another_one_for_other_constraints(monkeypatch, tmp_path):
    before = wheelhouse._key(("numpy",))
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    monkeypatch.setattr(wheelhouse, "project_root", lambda: tmp_path)
    assert wheelhouse._key(("numpy",)) != before


def test_framework_wheels_leave_out_what_the_core_has(tmp_path):
    core, extra = tmp_path / "core", tmp_path / "extra"
    for folder, names in ((core, ("numpy.whl",)), (extra, ("numpy.whl", "torch.whl"))):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    assert wheelhouse.absent_from(core, extra) == [extra / "torch.whl"]


def test_an_engine_that_does_not_answer_is_an_error_with_a_name(tmp_path):
    pytest.importorskip("docker")
    environment = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*IMAGES, "core"], capture_output=True, text=True, env=environment)
    assert done.returncode == 4
    assert done.stderr.startswith("EngineError: Docker engine does not answer")
    assert "Start dockerd, or set DOCKER_HOST." in done.stderr


def test_the_base_script_says_that_the_engine_does_not_answer(tmp_path):
    if not shutil.which("docker"):
        pytest.skip("the docker client is not installed")
    environment = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": os.environ["PATH"]}
    script = sources.project_root() / "containers" / "base.sh"
    done = subprocess.run([str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 4
    assert done.stderr == "base.sh: the Docker engine does not answer. Start dockerd, or set DOCKER_HOST.\n"


def test_a_missing_client_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    engines.engine.cache_clear()
    with pytest.raises(DependencyError, match=r"package docker is not installed\. Install the extra.*serve"):
        engines.engine()
    engines.engine.cache_clear()


def test_an_unknown_image_is_refused():
    done = subprocess.run([*IMAGES, "jax"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "jax" in done.stderr


def test_the_build_files_fetch_nothing():
    files = sorted((sources.project_root() / "containers").glob("*/Dockerfile"))
    assert [path.parent.name for path in files] == ["core", "tf", "torch"]
    for path in files:
        lines = [line.split("#")[0] for line in Path(path).read_text().splitlines()]
        assert not any(word in line for line in lines for word in ("http", "apt-get", "curl", "wget", "--mount"))
        assert all("--no-index" in command for command in " ".join(lines).split("RUN ") if "pip install" in command)
