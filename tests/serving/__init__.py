"""Tests of the served platform."""
