"""The parts of `prepare`: from a panel table to the files of a handoff."""
