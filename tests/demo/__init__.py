"""The demo: a real replica set is backed up to a real S3 server, destroyed, and brought back."""
