"""One file per step verb: a typed, cached task around a workload's function of the same name."""
