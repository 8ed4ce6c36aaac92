"""The schema's history, by Alembic. `migrate(url)` brings a database to the newest revision."""
