"""Backup: plan tasks at one cluster time, read them on many nodes, commit the manifest last."""
