"""Sessions with AWS: where credentials come from, clients made with them, and policies.

Knows boto3 and settings; must not know MongoDB, jobs or what is stored. Errors of botocore
leave this room untranslated only through clients, whose user translates them.
"""
