"""The works: backup, restore, delete, resync as steps over ports: plan (pure), do, commit.

Knows ports, codec and model; must not know boto3, pymongo or bson.
"""
