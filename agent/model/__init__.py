"""Facts and rules of the product as frozen values, pure.

Knows core.errors, pydantic, and APScheduler's cron fields; must not know I/O, clocks, logging or
bson. A BSON document that must be kept verbatim is carried as its bytes.
"""
