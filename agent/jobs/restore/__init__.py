"""Restore: plan, load beside what exists, replay, index, check, and switch at the end.

Until the switch begins nothing that exists is touched; once it has begun, it is finished.
"""
