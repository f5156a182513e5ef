"""The command metrics."""

import click

from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_runtime.errors import SettingError
from mailroom_runtime.settings.options import Whole


@click.command()
@click.option(
    "--port", type=Whole(0, 65_535), required=True, metavar="PORT", help="The port to listen on; 0 chooses a free one."
)
@click.option("--address", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.pass_context
def metrics(ctx: click.Context, port: int, address: str) -> None:
    """Serve the ledger's figures to Prometheus.

    It runs until SIGTERM or SIGINT. One exporter is enough for a queue, even if several pipelines work on it. It
    needs prometheus-client: pip install '.[metrics]' in the checkout, or pip install prometheus-client.
    """
    url, queue = url_and_queue(ctx)
    try:
        # Here, because prometheus-client may be missing.
        from mailroom_collector.operations.metrics.server import serve  # noqa: PLC0415
    except ImportError:
        raise SettingError(
            "prometheus-client is not installed",
            "pip install '.[metrics]' in the checkout, or pip install prometheus-client",
        ) from None
    serve(url, queue, address, port)
