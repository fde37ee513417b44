"""What SQL for PostgreSQL says, as PostgreSQL's own parser reads it."""
