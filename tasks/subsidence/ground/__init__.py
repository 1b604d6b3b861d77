"""The physics of the ground: closure, consolidation, coordinate networks, residuals."""
