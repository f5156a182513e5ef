"""`python -m tests.storm --seconds 300 --seed 1`: a storm of failures, and a table of what it proves."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.storm.oracle import Verdict
from tests.storm.storm import Storm, run_storm
from tests.support.postgres import running_server
from tests.support.ses_endpoint import running_endpoint


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def table(storm: Storm, verdict: Verdict, seed: int, seconds: float, took: float) -> str:
    """Return what happened, as rows of a name and a value."""
    by_log = sum(bool(line) for line in verdict.doubles.values())
    order = verdict.order
    rows = {
        "seed, seconds": f"{seed}, {seconds:g} and {took - seconds:.0f} to settle",
        "writes": f"{_list(storm.writers.counts)}; failed {storm.writers.failed}",
        "faults": _list(storm.faults),
        "starts of pipelines": f"{sum(pipeline.starts for pipeline in storm.pipelines)}",
        "calls to SES": _list(storm.moods.counts),
        "tokens committed": f"{verdict.committed}, of which went stale {verdict.went_stale}",
        "ledger at the end": _list(verdict.states),
        "mails": f"{verdict.mailed}",
        "not mailed": f"{_list(verdict.not_mailed)}",
        "LOST": f"{len(verdict.lost)} {verdict.lost[:20] or ''}",
        "GHOSTS": f"{len(verdict.ghosts)} {verdict.ghosts[:20] or ''}",
        "doubles": f"{len(verdict.doubles)}, explained by the log {by_log},"
        f" by the ledger alone {len(verdict.doubles) - by_log} (its collector was killed before it logged);"
        f" doubts in the ledger {verdict.doubts}",
        "UNEXPLAINED DOUBLES": f"{len(verdict.unexplained)} {verdict.unexplained[:20] or ''}",
        "OVER THE LIMIT": f"{len(verdict.over_the_limit)} {verdict.over_the_limit[:5] or ''}",
        "INVERSIONS": f"{len(order.inversions)} {order.inversions[:5] or ''}",
        "order": f"{order.judged} mails judged, {order.until_mailed} of them until SES took them;"
        f" at most {order.most_overtaking} imported ones went before one,"
        f" with {order.most_outstanding} outstanding at most;"
        f" longest wait {order.longest_wait:.2f} s",
        "longest from begin to SES": f"{verdict.longest_call:.2f} s",
    }
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:{width}}  {text}".rstrip() for name, text in rows.items())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process is left behind
    folder = Path(tempfile.mkdtemp(prefix="mailroom-storm-"))
    with running_server() as server, running_endpoint() as endpoint:
        starts = time.monotonic()
        storm, verdict = run_storm(server, endpoint, folder, arguments.seed, arguments.seconds)
        print(table(storm, verdict, arguments.seed, arguments.seconds, time.monotonic() - starts))  # noqa: T201
    explained = [f"token {token}: {line or 'doubts in the ledger'}\n" for token, line in verdict.doubles.items()]
    (folder / "doubles").write_text("".join(explained))
    print(f"logs, and each double with what explains it: {folder}")  # noqa: T201
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
