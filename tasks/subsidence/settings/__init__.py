"""The parts of the configuration: the ownership table, layers, the merge, the device."""
