"""Protocols: schema, loading, claim catalogue, lock and amendment."""
