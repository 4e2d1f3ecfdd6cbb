"""A library on a PostgreSQL server with pgvector: the same documents, passages and search as in a folder."""
