"""Scores, intervals, baselines and what they are worth."""
