"""The pure core: reports in, events and commands out. No I/O, no clock, no randomness."""
