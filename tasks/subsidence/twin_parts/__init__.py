"""The parts of a twin city: ground, flow, forcing, settlement, observation."""
