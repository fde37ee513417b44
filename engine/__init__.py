"""The embedded engine: plans, the pure machine, the journal, the executors and the shell around them."""
