"""Tests of the store and its readers."""
