"""Serves the metrics over HTTP, for all pipelines of a queue at once."""

import select

from prometheus_client import CollectorRegistry, start_http_server

from mailroom_collector.log import log
from mailroom_collector.operations.metrics.exporter import Exporter
from mailroom_runtime.errors import SettingError, Unavailable
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.process.wakeup import Wakeup


def serve(url: DatabaseUrl, queue: str, address: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises MailroomError when a person must fix the database, and SettingError."""
    exporter = Exporter(url, queue)
    try:
        exporter.ask()
    except Unavailable as error:
        log(
            f"{error}; the next scrape tries again",
            error.level,
            event="database_unavailable",
            reason=error.message,
            hint=error.hint or None,
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    with Wakeup() as wakeup:
        try:
            server, thread = start_http_server(port, address, registry)
        except OSError as error:
            raise SettingError(
                f"{address} port {port} can't be listened on: {error.strerror}", "give another --address or --port"
            ) from None
        if app := server.get_app():
            server.set_app(exporter.naming_scrapers(app))
        place = f"http://{address}:{server.server_port}/metrics"
        log(f"metrics of queue {queue} at {place}", event="metrics_served", queue=queue, url=place)
        select.select([wakeup], [], [])
        server.shutdown()
        thread.join()
    exporter.close()
