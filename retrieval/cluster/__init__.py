"""Ingest spread over the workers of a Ray cluster, on this machine or on many, into a library on a server."""
