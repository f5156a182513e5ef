#!/usr/bin/env python3
"""Stands in for the `aws` command: refuses calls that AWS's own models do not know, and answers as AWS would.

It has the answers that the tutorial uses. Calls are written to the file that AWS_CALLS names. Parameters are JSON,
file://NAME, or plain text. The command's shorthand syntax is refused.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.validate import ParamValidator

ACCOUNT = "123456789012"
_DKIM = {"DkimAttributes": {"Tokens": ["one", "two", "three"], "SigningHostedZone": "dkim.amazonses.com"}}
_ANSWERS: dict[str, dict[str, Any]] = {
    "GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/admin", "UserId": "AIDAEXAMPLE"},
    "CreateEmailIdentity": _DKIM,
    "GetEmailIdentity": _DKIM,
    "CreateTopic": {"TopicArn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:mailroom-events"},
    "CreateAccessKey": {"AccessKey": {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "a/secret+key"}},
}
_RENAMED = {"notification-endpoint": "endpoint"}  # by the command, as --endpoint-url would be
_OF_THE_COMMAND = {"query": True, "output": True, "region": True, "profile": True}  # takes a value


def main(words: list[str]) -> None:
    """Check a call, record it and answer it."""
    service, action, *rest = words
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    if action == "wait":
        action, *rest = rest
        waiters = session.get_waiter_model(service)
        waiter = next(name for name in waiters.waiter_names if xform_name(name, "-") == action)
        operation = model.operation_model(waiters.get_waiter(waiter).operation)
    else:
        operation = model.operation_model(next(n for n in model.operation_names if xform_name(n, "-") == action))
    parameters, own = _parsed(rest, operation)
    assert operation.input_shape is not None
    report = ParamValidator().validate(parameters, operation.input_shape)
    if report.has_errors():
        sys.exit(report.generate_report())
    with Path(os.environ["AWS_CALLS"]).open("a") as calls:
        calls.write(json.dumps([operation.name, parameters]) + "\n")
    answer: Any = _ANSWERS.get(operation.name, {})
    if "query" in own:
        answer = jmespath.search(own["query"], answer)
    print(_text(answer) if own.get("output") == "text" else json.dumps(answer, indent=4))  # noqa: T201 - as aws does


def _parsed(words: list[str], operation: Any) -> tuple[dict[str, Any], dict[str, str]]:
    members = {xform_name(name, "-"): (name, shape) for name, shape in operation.input_shape.members.items()}
    parameters: dict[str, Any] = {}
    own: dict[str, str] = {}
    while words:
        option, *words = words
        name = option.removeprefix("--")
        if name in _OF_THE_COMMAND:
            own[name], *words = words
            continue
        member, shape = members[_RENAMED.get(name, name)]
        given: list[str] = []
        while words and not words[0].startswith("--"):
            given.append(words.pop(0))
        parameters[member] = _value(given, shape)
    return parameters, own


def _value(given: list[str], shape: Any) -> Any:
    if shape.type_name == "boolean":
        assert not given
        return True
    if shape.type_name == "list":
        return given
    (text,) = given
    if text.startswith("file://"):
        text = Path(text.removeprefix("file://")).read_text()
    return json.loads(text) if shape.type_name in ("structure", "map") else text


def _text(answer: Any) -> str:
    if isinstance(answer, list):
        return "\t".join(_text(one) for one in answer)
    return str(answer)


main(sys.argv[1:])
