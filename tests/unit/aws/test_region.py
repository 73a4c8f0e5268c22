"""The region of a bucket, without asking anybody."""

from pathlib import Path

from agent.aws.region import region_of
from agent.aws.sts import new_session
from agent.settings import S3Settings

NAMED = S3Settings(bucket="acme", region="eu-west-1")
OPEN = S3Settings(bucket="acme")


def shared(tmp_path: Path) -> dict[str, str]:
    """Return variables that lead to a shared file with a profile."""
    path = tmp_path / "config"
    path.write_text("[default]\nregion = ap-southeast-2\n", encoding="utf-8")
    nothing = str(tmp_path / "nothing")
    return {"AWS_CONFIG_FILE": str(path), "AWS_SHARED_CREDENTIALS_FILE": nothing}


def test_the_configuration_comes_first(tmp_path: Path) -> None:
    """Then the environment as EKS and ECS set it, as everybody does, and the profile."""
    files = shared(tmp_path)
    default = {"AWS_DEFAULT_REGION": "us-west-2"}
    assert "eu-west-1" == region_of(NAMED, {**files, "AWS_REGION": "us-east-2"})
    assert "us-east-2" == region_of(OPEN, {**files, **default, "AWS_REGION": "us-east-2"})
    assert "us-west-2" == region_of(OPEN, {**files, **default})
    assert "ap-southeast-2" == region_of(OPEN, files)


def test_a_profile_that_is_not_there_names_none(tmp_path: Path) -> None:
    """Policies can be printed all the same."""
    assert region_of(OPEN, {**shared(tmp_path), "AWS_PROFILE": "another"}) is None


def test_descriptions_of_services_are_read_once() -> None:
    """That of S3 takes megabytes: sessions share it, however many there are."""
    first, second = (new_session({}).get_component("data_loader") for _ in range(2))
    assert first is second
