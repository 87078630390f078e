"""Tests of the exact arithmetic and its twins."""
