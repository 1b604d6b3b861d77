"""The tile engine beside its limits: each row and its limit or rival in one process and in the same rounds, in turns.

Prints best and median of both, and ratios; on a machine with other work read the ratios. Weights are random, tiles are
made up, nothing is downloaded. `--quick` only shows that the rows run: its figures mean nothing.

    python -m benchmarks.tiles [--rows B1,B3] [--rounds 5] [--variant v1_100] [--tiles N] [--quick] [--folder FOLDER]
"""

import argparse
import importlib
import logging
import os
import tempfile
import time
from pathlib import Path

from benchmarks.tiles_parts.ground import Ground
from benchmarks.tiles_parts.machine import tell_machine

ROWS = {  # modules are imported when their row runs
    "B1": ("arithmetic", "b1", "model in bf16 beside matrix products"),
    "B2": ("arithmetic", "b2", "model in fp32 beside matrix products"),
    "B3": ("end_to_end", "b3", "from files to files beside a plain loop"),
    "B4": ("end_to_end", "b4", "from files to files beside the model alone"),
    "B5": ("flow_run", "b5", "flow run outside its steps"),
    "B6": ("resume", "b6", "resume of a finished folder beside one pass of sha256"),
    "B7": ("memory", "b7", "memory and open files over many tiles"),
    "B8": ("memory", "b8", "memory for a high scene beside a low one"),
    "B9": ("files", "b9", "reading and writing a tile beside numpy"),
    "B10": ("first_tile", "b10", "time to the first tile beside reading the checkpoint"),
    "table": ("guide_table", "table", "rates and memory by batch size"),
}


def main() -> None:
    """Run the rows one after the other."""
    options = _options()
    logging.getLogger("tasks").setLevel(logging.ERROR)
    tell_machine()
    if options.quick:
        print("--quick: small sizes; these figures mean nothing")
    with tempfile.TemporaryDirectory(prefix="tiles-bench-", dir=options.folder) as folder:
        variant = options.variant or ("nano" if options.quick else "v1_100")
        rounds = options.rounds or (2 if options.quick else 5)
        ground = Ground(Path(folder), variant, rounds, options.tiles, options.quick)
        for name in options.rows:
            module, row, title = ROWS[name]
            began = time.monotonic()
            print(f"\n{name}  {title}   (load average {os.getloadavg()[0]:.2f})", flush=True)
            getattr(importlib.import_module(f"benchmarks.tiles_parts.{module}"), row)(ground)
            print(f"    {time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.2f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=_rows, default=list(ROWS), help="which, with commas; all where not said")
    parser.add_argument("--rounds", type=int, help="of each row (5)")
    parser.add_argument("--variant", help="of the model (v1_100)")
    parser.add_argument("--tiles", type=int, help="of rows that count tiles; each has its own number else")
    parser.add_argument("--quick", action="store_true", help="small sizes: for a check that it runs")
    parser.add_argument("--folder", help="where to work; a new folder below it is removed at the end")
    return parser.parse_args()


def _rows(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names


if __name__ == "__main__":
    main()
