"""Reads the events of `vsr --progress json` and shows the runs as a table.

    vsr upscale in.mp4 --progress json | python examples/progress_table.py

On a terminal the table is drawn anew with each event, else once at the end. Needs nothing but
Python. Ends with 0 if every run is done, with 1 if one failed or fell silent, if a report says that
one did, or if nothing came. Ctrl-C is for the runs, which then say how they ended.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

SCHEMA = 1
ENDS = ("done", "skipped", "error")


def row(source: str, event: dict[str, Any]) -> str:
    """A line of the table: the last event of one run."""
    kind = event["event"]
    if kind == "error":
        return f"{'failed':>9}  {source}: {event['message']} (exit code {event['code']})"
    if kind in ("done", "skipped"):
        return f"{kind:>9}  {source} -> {event['target']}"
    frame, frames, eta = event.get("frame", 0), event["frames"], event.get("eta_s")
    share = f"{100 * frame / frames:.0f} %" if frames else f"{frame}"
    left = "" if eta is None else f", {eta:.0f} s left"
    return f"{share:>9}  {source}: {event.get('fps', 0):.1f} fps{left}"


def is_well(event: dict[str, Any]) -> bool:
    """Whether what is said of no one run is good: a report that counts none that failed."""
    return event["event"] == "report" and not (event.get("failed") or event.get("stopped"))


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runs: dict[str, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    live = sys.stdout.isatty()
    for line in sys.stdin:
        event = json.loads(line)
        if event["v"] != SCHEMA:
            sys.exit(f"these events have schema {event['v']}; this reader knows {SCHEMA}")
        if "source" not in event:  # of all runs, or of options that cannot be meant
            others.append(event)
            continue
        drawn = len(runs)
        runs[event["source"]] = event
        if live:
            up = f"\x1b[{drawn}A" if drawn else ""
            table = "\n".join(f"{row(*run)}\x1b[K" for run in runs.items())
            print(f"{up}\r{table}", flush=True)
    if runs and not live:
        print("\n".join(row(*run) for run in runs.items()))
    ends = [event["event"] in ENDS[:2] for event in runs.values()]
    ends += [is_well(event) for event in others]
    return 0 if ends and all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
