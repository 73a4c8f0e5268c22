"""The service: poll, decide, run. Leases, heartbeats, the coordinator, the workers' dispatcher.

Knows ports; must not know boto3, pymongo or the insides of jobs.
"""
