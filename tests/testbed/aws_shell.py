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
def structure(text):
    # JSON, or what the CLI calls shorthand, such as A=1,B=2
    if text[:1] in "{[":
        return json.loads(text)
    return dict(part.split("=", 1) for part in text.split(","))
service = {"s3api": "s3"}.get(service, service)
arguments = {
    "".join(part.capitalize() for part in name[2:].split("-")): value
    for name, value in options.items()
}
model = boto3.client(service).meta.service_model
shapes = model.operation_model("".join(p.capitalize() for p in operation.split("-"))).input_shape
for name, value in arguments.items():
    if shapes.members[name].type_name in ("structure", "list"):
        arguments[name] = structure(value)
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
        install_aws(home, server)
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
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    finally:
        remove_directory(home)


def install_aws(folder: Path, server: AwsServer) -> None:
    """Put a program `aws` into a folder, which asks this server as its administrator."""
    settings = {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
    }
    program = folder / "aws"
    head = f"#!{sys.executable}\nimport os\nos.environ |= {settings!r}\n"
    program.write_text(head + _PROGRAM)
    program.chmod(0o700)
