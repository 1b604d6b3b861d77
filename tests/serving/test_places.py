"""Folders, addresses and programs of a serve: refused with a sentence before anything starts."""

import os
import socket

import pytest

from tasks.contracts.errors import ConfigError, DependencyError
from tasks.orchestration.serving import folders, postgres, private
from tasks.orchestration.serving.automations import check_address
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.network import gateway, refuse_taken
from tasks.orchestration.serving.serve import locked, read_status

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives folders to another user")


@pytest.fixture
def layout(tmp_path):
    for folder in [parent for parent in (tmp_path, *tmp_path.parents) if parent.stat().st_uid == os.getuid()]:
        folder.chmod(folder.stat().st_mode | 0o011)
    return Layout(
        home=tmp_path / "server",
        store=str(tmp_path / "store"),
        results=tmp_path / "results",
        data_root=tmp_path / "data",
        engine="docker",
        host="127.0.0.1",
        port=4711,
        uid=folders.default_uid(),
    )


def test_folders_belong_to_the_user_of_the_containers(layout):
    folders.prepare(layout)
    assert {os.stat(path).st_uid for path in (layout.store, layout.results)} == {layout.uid}
    assert {(layout.home / name).stat().st_mode & 0o777 for name in ("logs", "prefect", "tmp")} == {0o700}


@as_root
def test_a_store_that_others_wrote_is_given_to_the_containers(layout, tmp_path):
    (tmp_path / "store" / "sha256" / "ab").mkdir(parents=True)
    (line,) = folders.prepare(layout)
    assert line.endswith(f"3 files and folders now belong to user {layout.uid}")
    assert (tmp_path / "store" / "sha256" / "ab").stat().st_uid == layout.uid


def test_a_folder_of_other_files_is_no_store(layout, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not a store"):
        folders.prepare(layout)


@as_root
def test_a_folder_that_containers_cannot_enter_is_refused(layout, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"cannot be reached.*drwx------ .*closed"):
        folders.prepare(layout.model_copy(update={"results": closed / "results"}))


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    first = private.read_or_make(tmp_path / "auth", prefix="stagegate:")
    assert first.startswith("stagegate:") and len(first) > 40
    assert private.read_or_make(tmp_path / "auth") == first
    assert (tmp_path / "auth").stat().st_mode & 0o777 == 0o600


def test_the_host_has_the_first_address_of_the_network():
    assert gateway("172.31.77.0/24") == "172.31.77.1"


def test_a_taken_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on.*in use.*--port"):
            refuse_taken("127.0.0.1", port)


def test_one_serve_for_each_folder(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(ConfigError, match=f"served already: found process {os.getpid()}"),
        locked(tmp_path),
    ):
        pass


def test_deploy_without_a_serve_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no serve runs here"):
        read_status(tmp_path)


def test_absent_postgres_names_its_package_and_the_way_without(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="apt-get install postgresql, or name another database: --database"):
        postgres.find_programs(tmp_path / "PG_VERSION", tmp_path)


def test_data_of_another_release_is_not_touched(tmp_path, monkeypatch):
    (tmp_path / "15" / "bin").mkdir(parents=True)
    (tmp_path / "15" / "bin" / "initdb").touch()
    (tmp_path / "PG_VERSION").write_text("13\n")
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    with pytest.raises(ConfigError, match="expected release 13, found release 15"):
        postgres.find_programs(tmp_path / "PG_VERSION", tmp_path)


@pytest.mark.parametrize("text", ["file:///etc/passwd", "hook", "http://"])
def test_only_a_web_address_can_be_told(text):
    with pytest.raises(ConfigError, match="no address of a webhook"):
        check_address(text)
