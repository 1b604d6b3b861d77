"""The folder of results on loopback, to read only: links of the dashboard to reports lead here.

`python -m tasks.orchestration.serving.results_site FOLDER PORT`
"""

import html
import os
import stat
import sys
import urllib.parse
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 1 << 20
HEADERS = {
    # Reports are whole in themselves: no script runs, nothing is fetched, nobody frames them.
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class ResultsHandler(BaseHTTPRequestHandler):
    """GET and HEAD of files below a folder, and lists of its folders. Every other method gets 501."""

    server_version, sys_version = "stagegate", ""

    def __init__(self, root: Path, *args: object):
        self.root = root.resolve()
        super().__init__(*args)

    def do_GET(self) -> None:
        """The file, or the list of a folder."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """The same without its bytes."""
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._named_rightly():
            return self._refuse(HTTPStatus.FORBIDDEN)
        path = self._resolved()
        try:
            if path is None:
                return self._refuse(HTTPStatus.NOT_FOUND)
            if path.is_dir():
                return self._list(path, with_body)
            with _opened(path) as file:
                self._head(guess_type(path.name)[0] or "application/octet-stream", os.fstat(file.fileno()).st_size)
                while with_body and (chunk := file.read(CHUNK)):
                    self.wfile.write(chunk)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _named_rightly(self) -> bool:
        """A page of another site may point a name of its own at loopback; it cannot choose the Host that we expect."""
        port = self.server.server_address[1]
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _resolved(self) -> Path | None:
        """The real path below the root; None where a link or `..` leads out, or a part is hidden."""
        asked = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        parts = [part for part in asked.split("/") if part]
        if "\0" in asked or any(part.startswith(".") for part in parts):
            return None
        path = self.root.joinpath(*parts).resolve()
        return path if path.is_relative_to(self.root) else None

    def _list(self, folder: Path, with_body: bool) -> None:
        if not urllib.parse.urlsplit(self.path).path.endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            below = folder.relative_to(self.root).as_posix()
            self.send_header("Location", f"/{urllib.parse.quote(below)}/")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        names = sorted(
            each.name + ("/" if each.is_dir() else "") for each in folder.iterdir() if not each.name.startswith(".")
        )
        items = "".join(f'<li><a href="./{urllib.parse.quote(name)}">{html.escape(name)}</a></li>' for name in names)
        title = html.escape(folder.relative_to(self.root).as_posix().replace(".", "Results", 1))
        page = f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1><ul>{items}</ul>'.encode()
        self._head("text/html", len(page))
        if with_body:
            self.wfile.write(page)

    def _head(self, kind: str, size: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def end_headers(self) -> None:
        """Every answer carries the same protection."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_error(status)

    def log_message(self, *_: object) -> None:
        """Reading is not worth a line."""


def make_site(root: Path, port: int) -> ThreadingHTTPServer:
    """The server, listening; `serve_forever` serves."""
    return ThreadingHTTPServer((HOST, port), partial(ResultsHandler, root))


def _opened(path: Path):
    """Only a regular file, and not one that has become a link meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a file")
    return os.fdopen(descriptor, "rb")


if __name__ == "__main__":
    make_site(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()
