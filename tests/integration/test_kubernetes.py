"""The example for Kubernetes is what Kubernetes takes."""

import subprocess

import pytest

from tests.testbed import programs

EXAMPLE = programs.REPOSITORY / "deploy/kubernetes/backstay.yaml"


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_example_fits_the_schemas(version: str) -> None:
    """Of an old and a new release, and it has no field that they do not know."""
    done = subprocess.run(
        [programs.kubernetes_validate().path, "--strict", "-k", version, EXAMPLE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for resource ") == 5
