"""The rows of `benchmarks.tiles`."""
