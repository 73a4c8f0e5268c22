"""A shell in which `aws iam ...` reaches the AWS of the testbed, as its administrator.

The real AWS CLI pins a botocore of its own and is half a gigabyte with its documentation; what it
does with the lines of our documents is little: options become arguments of the same name.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.testbed.aws import AwsServer
from tests.testbed.process import remove_directory, scratch_directory
from tests.testbed.s3 import REGION

_PROGRAM: Final = """\
import json, sys
import boto3, jmespath
service, operation, *rest = sys.argv[1:]
options = dict(zip(rest[::2], rest[1::2], strict=True))
assert all(each.startswith("--") for each in options), rest
query, form = options.pop("--query", None), options.pop("--output", "json")
arguments = {
    "".join(part.capitalize() for part in name[2:].split("-")): value
    for name, value in options.items()
}
answer = getattr(boto3.client(service), operation.replace("-", "_"))(**arguments)
answer.pop("ResponseMetadata")
found = jmespath.search(query, answer) if query else answer
print(found if form == "text" else json.dumps(found, default=str))
"""


def run_lines(server: AwsServer, lines: Sequence[str]) -> str:
    """Paste lines into bash, which stops at the first that fails; return what they print.

    Raises: AssertionError with what was said.
    """
    home = scratch_directory("aws-shell")
    try:
        _install(home)
        done = subprocess.run(
            ["bash", "-e"],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": f"{home}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "HOME": str(home),
                "AWS_ENDPOINT_URL": server.endpoint_url,
                "AWS_ACCESS_KEY_ID": server.access_key_id,
                "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
                "AWS_DEFAULT_REGION": REGION,
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    finally:
        remove_directory(home)


def _install(home: Path) -> None:
    program = home / "aws"
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o700)
