"""Tests mirror the source tree. What several of them need stands beside this file."""
