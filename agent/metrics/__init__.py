"""Figures for Prometheus: what they are called, what they are, and how they are served.

Knows ports and prometheus_client; must not know MongoDB, storages, jobs or the daemon. Nothing
here is global: each agent has its own.
"""
