"""All that speaks to MongoDB, behind ports: the control database, the source and the target.

Changes of state are compare-and-set, by the server's clock; every error of pymongo is
translated here. Knows pymongo and bson; must not know storages or jobs.
"""
