"""Words that any program needs: errors, clock, retry, flow and log.

Knows the standard library, tenacity and structlog; must not know MongoDB, S3 or backups.
"""
