"""The folder of results, to read only, on every address of its container; compose publishes it on loopback."""

import sys
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

from tasks.orchestration.serving.results_site import ResultsHandler

RESULTS = Path("/srv/results")

if __name__ == "__main__":
    # The handler answers only to loopback's names with this port: it is the same one outside.
    ThreadingHTTPServer(("", int(sys.argv[1])), partial(ResultsHandler, RESULTS)).serve_forever()
