"""Pools, deployments and what they promise."""
