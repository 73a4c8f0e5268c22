"""What the settings ask of each request, in botocore's words."""

from typing import Any

from agent.settings import S3Settings


def put_arguments(settings: S3Settings) -> dict[str, Any]:
    """Return what goes with every PUT."""
    arguments = customer_key(settings)
    encryption = settings.server_side_encryption
    if encryption is not None and encryption.algorithm is not None:
        arguments["ServerSideEncryption"] = encryption.algorithm
        if encryption.kms_key_id is not None:
            arguments["SSEKMSKeyId"] = encryption.kms_key_id
        if encryption.bucket_key_enabled is not None:
            arguments["BucketKeyEnabled"] = encryption.bucket_key_enabled
    if settings.storage_class is not None:
        arguments["StorageClass"] = settings.storage_class
    return arguments


def customer_key(settings: S3Settings) -> dict[str, Any]:
    """Return what goes with every PUT, GET and HEAD of an object; botocore adds the key's MD5."""
    encryption = settings.server_side_encryption
    key = None if encryption is None else encryption.customer_key
    return {} if key is None else {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
