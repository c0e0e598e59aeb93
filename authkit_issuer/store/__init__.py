"""PostgreSQL: typed queries, the pool, error translation and the migration runner."""
