"""The run directory: event journal, checkpoints, integrity, ownership."""
