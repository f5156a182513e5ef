"""A local SES for trying the pipeline: accepts every mail, sends none, and prints each as its reader would see it.

It knows the calls of mailroom-send and its commands (with STS's GetCallerIdentity). It checks neither signatures nor
addresses: every identity is verified and every configuration set exists. Templates are kept until it ends. A mail
without its template is accepted too, and its data are printed. The output contains the secrets of the links, as the
mails do. So it listens on this machine only, unless --host says otherwise.
"""

import argparse
import errno
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

_NAMESPACE: Final = "http://ses.amazonaws.com/doc/2010-12-01/"
_MOST_BYTES: Final = 1 << 22
"""The limit of a request: more than 50 destinations with the template data of our mails need."""
_PARTS: Final = ("SubjectPart", "TextPart", "HtmlPart")
_HERE: Final = "127.0.0.1"
_PORT: Final = 8005
_LAST_PORT: Final = 65_535
_BAD_USE: Final = 2
"""The exit status that argparse uses."""
_VALUE = re.compile(r"\{\{\{?\s*(\w+)\s*\}?\}\}")
_numbers = itertools.count(1)
_templates: dict[str, dict[str, str]] = {}
"""The parts of each template, by the name of the template."""


class Refused(Exception):
    """An error of SES: its code, and a text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def mails(form: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the mail of each recipient of a SendBulkTemplatedEmail."""
    default = json.loads(form.get("DefaultTemplateData", "{}"))
    for number in itertools.count(1):
        prefix = f"Destinations.member.{number}."
        address = form.get(f"{prefix}Destination.ToAddresses.member.1")
        if address is None:
            return
        data = default | json.loads(form.get(f"{prefix}ReplacementTemplateData", "{}"))
        yield {"to": address, "from": form.get("Source", ""), "template": form.get("Template", ""), "data": data}


def answer(form: dict[str, str]) -> tuple[int, str]:
    """Return status and body for a call."""
    action = form.get("Action", "")
    try:
        if action not in _ANSWERS:
            raise Refused("InvalidAction", f"this local SES does not know {action}")
        result = _ANSWERS[action](form)
    except Refused as error:
        said = f"<Type>Sender</Type>{_xml(Code=error.code, Message=str(error))}"
        return 400, f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{said}</Error></ErrorResponse>'
    return 200, f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result></{action}Response>'


def as_json(message_id: str, mail: dict[str, Any]) -> str:
    """Return a mail as one JSON object: its data, and its parts if its template exists here."""
    try:
        parts = rendered(mail["template"], mail["data"])
    except Refused:
        parts = {}
    return json.dumps({"message_id": message_id} | mail | {"parts": parts}) + "\n"


def as_text(message_id: str, mail: dict[str, Any]) -> str:
    """Return a mail as its reader would see it. If the template or a value is missing, return the data and why."""
    head = f"--- {message_id}\nFrom: {mail['from']}\nTo: {mail['to']}\n"
    try:
        parts = rendered(mail["template"], mail["data"])
    except Refused as error:
        why = "SES would take this mail and then drop it"
        if error.code == "TemplateDoesNotExist":
            why = "'mailroom-send templates push' brings it, and then the mails themselves are shown"
        return _visible(f"{head}(not rendered: {error} {why}.)\n{_data(mail['data'])}\n")
    body = parts.get("TextPart") or parts.get("HtmlPart", "")
    return _visible(f"{head}Subject: {parts.get('SubjectPart', '')}\n\n{body.rstrip()}\n\n")


def _data(data: dict[str, Any]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in data.items())


def _visible(text: str) -> str:
    """Return text without characters that control a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


_form: Callable[[str, dict[str, Any]], str] = as_text
"""How mails are printed."""


def _send(form: dict[str, str]) -> str:
    """Print the mails, and accept them."""
    members = []
    for mail in mails(form):
        message_id = f"local-{next(_numbers):08}"
        print(_form(message_id, mail), end="", flush=True)
        members.append(f"<member>{_xml(Status='Success', MessageId=message_id)}</member>")
    return f"<Status>{''.join(members)}</Status>"


def _verification(form: dict[str, str]) -> str:
    return f"<VerificationAttributes>{_entries(form, VerificationStatus='Success')}</VerificationAttributes>"


def _dkim(form: dict[str, str]) -> str:
    return f"<DkimAttributes>{_entries(form, DkimEnabled='true', DkimVerificationStatus='Success')}</DkimAttributes>"


def _config_set(form: dict[str, str]) -> str:
    types = "<MatchingEventTypes><member>renderingFailure</member></MatchingEventTypes>"
    return (
        f"<ConfigurationSet>{_xml(Name=form.get('ConfigurationSetName', ''))}</ConfigurationSet>"
        f"<EventDestinations><member>{_xml(Name='local', Enabled='true')}{types}</member></EventDestinations>"
    )


def _template(name: str) -> dict[str, str]:
    if name not in _templates:
        raise Refused("TemplateDoesNotExist", f"Template {name} does not exist.")
    return _templates[name]


def _get_template(form: dict[str, str]) -> str:
    name = form.get("TemplateName", "")
    return f"<Template>{_xml(TemplateName=name, **_template(name))}</Template>"


def _list_templates(_: dict[str, str]) -> str:
    names = "".join(f"<member>{_xml(Name=name)}</member>" for name in sorted(_templates))
    return f"<TemplatesMetadata>{names}</TemplatesMetadata>"


def _create_template(form: dict[str, str]) -> str:
    name = form.get("Template.TemplateName", "")
    if name in _templates:
        raise Refused("AlreadyExists", f"Template {name} already exists.")
    return _put_template(name, form)


def _update_template(form: dict[str, str]) -> str:
    name = form.get("Template.TemplateName", "")
    _template(name)
    return _put_template(name, form)


def _put_template(name: str, form: dict[str, str]) -> str:
    _templates[name] = {part: form[f"Template.{part}"] for part in _PARTS if f"Template.{part}" in form}
    return ""


def rendered(name: str, data: dict[str, Any]) -> dict[str, str]:
    """Return the parts of a template with each {{name}} replaced. Other tags stay unchanged. Raises Refused."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in data:
            raise Refused("MissingRenderingAttribute", f"Attribute '{match[1]}' is not present in the rendering data.")
        return str(data[match[1]])

    return {part: _VALUE.sub(value, text) for part, text in _template(name).items()}


def _render(form: dict[str, str]) -> str:
    """Return the rendered mail, as TestRenderTemplate does."""
    parts = rendered(form.get("TemplateName", ""), json.loads(form.get("TemplateData", "{}")))
    mail = EmailMessage()
    mail["Subject"] = parts.get("SubjectPart", "")
    if "TextPart" in parts:
        mail.set_content(parts["TextPart"])
    if "HtmlPart" in parts:
        mail.add_alternative(parts["HtmlPart"], subtype="html")
    return _xml(RenderedTemplate=mail.as_string())


def _xml(**values: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _entries(form: dict[str, str], **values: str) -> str:
    """Return the same for each requested identity."""
    names = [value for name, value in form.items() if name.startswith("Identities.member.")]
    return "".join(f"<entry>{_xml(key=name)}<value>{_xml(**values)}</value></entry>" for name in names)


_ANSWERS: Final[dict[str, Callable[[dict[str, str]], str]]] = {
    "SendBulkTemplatedEmail": _send,
    "GetSendQuota": lambda _: _xml(Max24HourSend="-1", MaxSendRate="500", SentLast24Hours="0"),
    "GetCallerIdentity": lambda _: _xml(Arn="arn:aws:iam::000000000000:user/local", Account="000000000000"),
    "GetAccountSendingEnabled": lambda _: _xml(Enabled="true"),
    "GetIdentityVerificationAttributes": _verification,
    "GetIdentityDkimAttributes": _dkim,
    "DescribeConfigurationSet": _config_set,
    "GetTemplate": _get_template,
    "ListTemplates": _list_templates,
    "CreateTemplate": _create_template,
    "UpdateTemplate": _update_template,
    "TestRenderTemplate": _render,
}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a health check."""
        self._reply(200, "ok")

    def do_POST(self) -> None:
        """Answer a call."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), _MOST_BYTES))
        self._reply(*answer({name: values[0] for name, values in parse_qs(body.decode()).items()}))

    def _reply(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print mails only."""


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"'{text}' is not allowed; give a number from 0 to {_LAST_PORT}")
    return int(text)


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="ses.py", description=about, epilog=more)
    parser.add_argument(
        "port", nargs="?", type=_port, default=_PORT, metavar="PORT",
        help="where to listen; 0 takes one that is free, and the first line says which (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--host", default=_HERE,
        help="the address to listen on; 0.0.0.0 lets other machines in, as containers need (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print each mail as one JSON object a line")
    return parser.parse_args()


class _LocalSes(ThreadingHTTPServer):
    daemon_threads = True


def _listening(host: str, port: int) -> _LocalSes:
    """Return the server. Ends the program if it can't listen there."""
    try:
        return _LocalSes((host, port), Handler)
    except OSError as error:
        way = f"give another port, such as: python3 demo/ses.py {port + 1 if port < _LAST_PORT else _PORT}"
        if error.errno == errno.EADDRINUSE:
            print(f"ses.py: port {port} of {host} is taken; {way}", file=sys.stderr)
        else:
            print(f"ses.py: can't listen on port {port} of {host}: {error.strerror or error}", file=sys.stderr)
        sys.exit(_BAD_USE)


def main() -> None:
    """Serve until interrupted."""
    global _form  # noqa: PLW0603 - one server a process
    arguments = _arguments()
    if arguments.json:
        _form = as_json
    server = _listening(arguments.host, arguments.port)
    print(
        f"A local SES listens on http://{arguments.host}:{server.server_port}. It sends nothing and prints each mail,"
        " with its live link. Ctrl-C ends it.",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
