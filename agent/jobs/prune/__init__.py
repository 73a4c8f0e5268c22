"""Prune: removes what retention lets go, and what dead jobs left; tells why each backup stays.

Plans again before each backup that it removes. Knows ports, model and codec; must not know
boto3 or pymongo.
"""
