"""Storages: a bucket of S3 or a directory, behind the port ObjectStore.

Knows boto3, botocore and the file system, and turns their errors into ours; must not know
MongoDB, jobs, or what the objects mean.
"""
