"""Bytes <-> documents, and bytes <-> compressed bytes.

Knows bson and zstandard, the model and core; must not know the network, files, clocks or
threads. Documents that came from a server are walked as bytes and never decoded on their way
through. Damaged bytes raise a PermanentError with a stable code, never anything else.
"""
