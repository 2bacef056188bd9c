"""Kills, stops, cuts and lies to real scheduler processes, and counts what came of it from outside."""
