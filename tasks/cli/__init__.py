"""The command line: `stagegate`. Parses, calls flows, prints; holds no work of its own."""
