"""Backstay: backs MongoDB replica sets up to S3 and brings them back."""

__version__ = "0.1.0"
