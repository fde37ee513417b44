"""The shell around the machine: lanes, clock, signals. Drives machine, journal and executors with anyio."""
