"""What somebody hostile could hand to us."""
