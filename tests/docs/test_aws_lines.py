"""Lines for the AWS command line in the documents: what they name is there, says botocore."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise

import pytest
from botocore import xform_name
from botocore.model import OperationModel
from botocore.session import Session
from botocore.validate import ParamValidator

from tests.docs import documents
from tests.docs.sources import ROOT

# Text in quotes may go on over lines.
_LINE = re.compile(r"^ *(aws [a-z][^'\n]*(?:'[^']*'[^'\n]*)*)$", re.MULTILINE)
# Options of every line.
_GLOBAL = {"--query", "--output", "--region", "--profile"}
_SERVICES = {"s3api": "s3"}


def lines() -> Iterator[str]:
    """Yield each line, with those that continue it."""
    for path in documents.all_documents():
        yield from _LINE.findall(path.read_text(encoding="utf-8").replace("\\\n", " "))


def operation(service: str, verb: str) -> OperationModel:
    """Return the operation that a verb stands for; fails if there is none."""
    model = Session().get_service_model(_SERVICES.get(service, service))
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert verb in names, f"aws {service} {verb}"
    return model.operation_model(names[verb])


@pytest.mark.parametrize("line", list(dict.fromkeys(lines())))
def test_every_line_names_what_there_is(line: str) -> None:
    """Service, operation and options; all that it needs is given; JSON has the right fields."""
    _aws, service, verb, *rest = shlex.split(line.partition(" > ")[0])
    model = operation(service, verb)
    members = model.input_shape.members if model.input_shape is not None else {}
    options = {f"--{xform_name(name, '-')}": name for name in members}
    given = [word for word in rest if word.startswith("--")]
    assert set(given) <= set(options) | _GLOBAL
    needed = model.input_shape.required_members if model.input_shape is not None else []
    assert set(needed) <= {options[word] for word in given if word in options}
    for option, value in pairwise(rest):
        if option in options and value.startswith("{"):
            shape = members[options[option]]
            report = ParamValidator().validate(json.loads(value), shape)
            assert not report.has_errors(), report.generate_report()


def test_the_walkthroughs_have_lines() -> None:
    """The pattern finds them."""
    found = set(lines())
    assert len(found) > 10
    assert any("put-bucket-lifecycle-configuration" in line and "}]}'" in line for line in found)
    assert (ROOT / "docs/aws-access.md").read_text(encoding="utf-8").count("aws ") > len(found) / 2
