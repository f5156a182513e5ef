"""A local SES for trying the pipeline out: takes every mail, sends none, and prints each as one JSON object.

    python demo/ses.py [PORT]

It knows the two calls that mailroom-send makes, and checks neither signatures nor addresses. What it prints holds
the secrets of the links, as the mails would. Needs nothing but Python's standard library.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

_NAMESPACE: Final = "http://ses.amazonaws.com/doc/2010-12-01/"
_MOST_BYTES: Final = 1 << 22
"""Of a request: 50 destinations with 256 KiB of template data at most, of which a mail of ours takes a few hundred."""
_numbers = itertools.count(1)


def mails(form: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what each recipient of a SendBulkTemplatedEmail would get."""
    default = json.loads(form.get("DefaultTemplateData", "{}"))
    for number in itertools.count(1):
        prefix = f"Destinations.member.{number}."
        address = form.get(f"{prefix}Destination.ToAddresses.member.1")
        if address is None:
            return
        data = default | json.loads(form.get(f"{prefix}ReplacementTemplateData", "{}"))
        yield {"to": address, "from": form.get("Source"), "template": form.get("Template"), "data": data}


def answer(form: dict[str, str]) -> tuple[int, str]:
    """Return status and body for a call, and print its mails."""
    match form.get("Action"):
        case "SendBulkTemplatedEmail":
            members = []
            for mail in mails(form):
                message_id = f"local-{next(_numbers):08}"
                print(json.dumps({"message_id": message_id} | mail), flush=True)
                members.append(f"<member><Status>Success</Status><MessageId>{message_id}</MessageId></member>")
            return 200, _response("SendBulkTemplatedEmail", f"<Status>{''.join(members)}</Status>")
        case "GetSendQuota":
            quota = (
                "<Max24HourSend>-1</Max24HourSend><MaxSendRate>500</MaxSendRate><SentLast24Hours>0</SentLast24Hours>"
            )
            return 200, _response("GetSendQuota", quota)
        case _:
            error = "<Error><Type>Sender</Type><Code>InvalidAction</Code><Message>not here</Message></Error>"
            return 400, f'<ErrorResponse xmlns="{_NAMESPACE}">{error}</ErrorResponse>'


def _response(action: str, result: str) -> str:
    return f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result></{action}Response>'


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say that it runs, for health checks."""
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


def main() -> None:
    """Serve until interrupted, on all interfaces: a container's is reached from others."""
    server = ThreadingHTTPServer(("", int(sys.argv[1]) if len(sys.argv) > 1 else 8005), Handler)
    server.daemon_threads = True
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
