"""The region of a bucket, as far as it is known without asking anybody."""

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError

from agent.aws.sts import new_session, region_in
from agent.settings import S3Settings


def region_of(s3: S3Settings, environment: Mapping[str, str]) -> str | None:
    """Return the region that the settings name, else the surroundings; None if neither does."""
    if s3.region is not None:
        return s3.region
    try:
        return region_in(environment, new_session(environment))
    except BotoCoreError:
        # A profile that is not there names none; who needs its keys will say so.
        return None
