"""The site of the reports reads, and reads nothing outside its folder."""

import http.client
import os
import threading

import pytest

from tasks.orchestration.serving.results_site import make_site


@pytest.fixture
def site(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "results"
    (root / "run-1").mkdir(parents=True)
    (root / "run-1" / "report.html").write_text("<p>report</p>")
    (root / ".hidden").write_text("hidden")
    (root / "link").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    server = make_site(root, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(site, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", site.server_address[1], timeout=5)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def test_serves_a_report_that_can_run_no_script(site):
    status, body, headers = ask(site, "/run-1/report.html")
    assert (status, body, headers["Content-Type"]) == (200, "<p>report</p>", "text/html; charset=utf-8")
    assert (
        "default-src 'none'" in headers["Content-Security-Policy"] and "sandbox" in headers["Content-Security-Policy"]
    )


def test_lists_folders_without_hidden_files(site):
    status, body, _ = ask(site, "/")
    assert status == 200 and "run-1/" in body and "hidden" not in body
    assert ask(site, "/run-1")[2]["Location"] == "/run-1/"


def test_a_folder_with_a_double_slash_does_not_lead_to_another_site(site):
    assert ask(site, "//run-1")[2]["Location"] == "/run-1/"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/run-1/..%2f..%2fsecret.txt",
        "/link",
        "/up/secret.txt",
        "/.hidden",
        "/%00",
        "/pipe",
        "/absent",
        "//etc/passwd",
    ],
)
def test_nothing_outside_and_nothing_special_is_read(site, path):
    status, body, _ = ask(site, path)
    assert status == 404 and "secret" not in body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(site, method):
    assert ask(site, "/run-1/report.html", method)[0] == 501


def test_a_name_that_somebody_pointed_at_loopback_is_refused(site):
    assert ask(site, "/run-1/report.html", Host="evil.example")[0] == 403
