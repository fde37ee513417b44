"""SQL on PostgreSQL targets. What is in here is imported only by a run that has one."""
