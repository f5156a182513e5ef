"""A real Prometheus that scrapes one exporter, with the alert rules of docs/alerts.yml."""

import contextlib
import json
import re
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import Running, environment, running
from tests.support.waiting import until

_ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"
_CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: mailroom
    static_configs: [{{targets: ['{target}']}}]
"""


def is_installed() -> bool:
    """Return whether Prometheus is installed (Debian: apt-get install prometheus)."""
    return shutil.which("prometheus") is not None


class Prometheus:
    """A running Prometheus that answers queries."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[float]:
        """Return the current values of an expression, one for each series; none if it does not answer."""
        found = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")
        return [float(one["value"][1]) for one in found["result"]] if found else []

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = self._get("alerts")
        alerts = found["alerts"] if found else []
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _get(self, what: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{what}", timeout=10) as response:
                return json.load(response)["data"]
        except OSError:
            return None


@contextlib.contextmanager
def running_prometheus(exporter: Running, folder: Path) -> Iterator[Prometheus]:
    """Let it scrape a running exporter once a second during the block. Its data are in the folder."""
    exporter.says("metrics of queue")
    found = re.search(r"http://(127\.0\.0\.1:\d+)/metrics", exporter.err)
    assert found
    (folder / "prometheus.yml").write_text(_CONFIG.format(rules=_ALERTS, target=found[1]))
    with socket.socket() as taken:  # it does not print the port that it got for 0
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    command = f"exec prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address={address}"
    with running(command, environment(), folder) as process:
        prometheus = Prometheus(f"http://{address}")
        until(lambda: prometheus.query("mailroom_up"), f"a first scrape; Prometheus says:\n{process.err}")
        yield prometheus
