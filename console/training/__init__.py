"""Drills: what they are, how one is begun, and what comes of the decisions made in it."""
