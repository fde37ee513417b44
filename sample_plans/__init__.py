"""Plans that really run on a fresh machine, and drills."""
