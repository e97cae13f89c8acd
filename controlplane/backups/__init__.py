"""Backups of PostgreSQL, and what a restored database is told of by Kafka."""
