"""No queue at all: threads that make the calls which mailroom-send makes, from rows that are ready.

`python -m benchmarks.rivals.bare_boto3 ENDPOINT --rows 20000 --threads 4` prints the rows a
second of the calls alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks.rivals import CONFIG_SET, SECRET, SOURCE, TEMPLATE, address, ses_client

MOST_DESTINATIONS: Final = 50


def command(endpoint: str, rows: int, threads: int) -> str:
    """Return the shell command that runs it."""
    return f"exec {sys.executable} -m {__name__} {endpoint} --rows {rows} --threads {threads}"


def _data(login: str, secret: str) -> str:
    return json.dumps({"login": login, "secret": secret}, separators=(",", ":"))


def _destination(number: int) -> dict[str, Any]:
    email = address(number)
    return {
        "Destination": {"ToAddresses": [email]},
        "ReplacementTemplateData": _data(email.partition("@")[0], SECRET),
    }


def batches(rows: int) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each call."""
    for start in range(0, rows, MOST_DESTINATIONS):
        yield {
            "Source": SOURCE,
            "ConfigurationSetName": CONFIG_SET,
            "Template": TEMPLATE,
            "DefaultTemplateData": _data("", ""),
            "Destinations": [_destination(number) for number in range(start, min(start + MOST_DESTINATIONS, rows))],
        }


def run(endpoint: str, rows: int, threads: int) -> float:
    """Make all calls. Return the rows per second."""
    client = ses_client(endpoint, threads)
    ready = list(batches(rows))

    def call(parameters: dict[str, Any]) -> None:
        statuses = client.send_bulk_templated_email(**parameters)["Status"]
        if any(status.get("Status") != "Success" for status in statuses):
            raise RuntimeError("not all were taken")

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        for _ in pool.map(call, ready):
            pass
        return rows / (time.perf_counter() - started)


def main() -> None:
    """Print the rows per second."""
    parser = argparse.ArgumentParser(description="Bare calls to SES, 50 rows each.")
    parser.add_argument("endpoint")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    print(f"{run(arguments.endpoint, arguments.rows, arguments.threads):.0f}")


if __name__ == "__main__":
    main()
