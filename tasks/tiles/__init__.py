"""Refine opt_v1 tiles of the first stage to opt_v2 with a Prithvi backbone and a small head."""
