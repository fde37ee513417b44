"""PostgreSQL targets."""
