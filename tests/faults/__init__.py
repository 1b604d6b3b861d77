"""What fails underneath us: disks, processes, space."""
