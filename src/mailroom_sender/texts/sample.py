"""Pure: the data that the sender would send for a made-up account. The sender's own functions make it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mailroom_sender.input.action import SHIPPED, MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.request import Envelope, build

SECRET: Final = "c2FtcGxlLW9ubHktbm8tYWNjb3VudC1oYXMtdGhpcy1zZWNyZXQtaXQtaXMtbm90LXNpZ25lZC1ieS1hbnkta2V5"[:86]
CODE: Final = "01234"
LOGIN: Final = "Tom & Jerry"
EMAIL: Final = "ann@example.com"


@dataclass(frozen=True, slots=True)
class Sample:
    """One kind of mail: its template, and the values that the template may use."""

    template: str
    data: dict[str, str]
    request: dict[str, Any]
    """The parameters of the call that the sender would make."""

    @property
    def secrets(self) -> dict[str, str]:
        """Return the values that the mail must show. Without them its reader can do nothing with it."""
        return {name: self.data[name] for name in ("secret", "code") if name in self.data}


def samples(envelope: Envelope, email: str = EMAIL, actions: Iterable[MailAction] = SHIPPED) -> list[Sample]:
    """Return a sample for each kind of mail that the sender sends."""
    return [_sample(action, envelope, email) for action in actions]


def _sample(action: MailAction, envelope: Envelope, email: str) -> Sample:
    request = build([Row(action, email, LOGIN, SECRET, CODE, b"")], envelope)
    (destination,) = request["Destinations"]
    data = json.loads(request["DefaultTemplateData"]) | json.loads(destination["ReplacementTemplateData"])
    return Sample(action.template, data, request)


def data_for(template: str, known: list[Sample]) -> dict[str, str]:
    """Return the data for a template. A template that no mail uses yet gets the data of all mails."""
    for sample in known:
        if sample.template == template:
            return sample.data
    return {name: value for sample in known for name, value in sample.data.items()}
