"""What a thread logs, held back until it is known whether it is to be said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("vsr")


@contextmanager
def held_back() -> Iterator[list[logging.LogRecord]]:
    """This thread's log records, as they come; what the list holds at the end is said then."""
    here, records = threading.get_ident(), list[logging.LogRecord]()

    def is_anothers(record: logging.LogRecord) -> bool:
        if record.thread == here:
            records.append(record)
        return record.thread != here

    log.addFilter(is_anothers)
    try:
        yield records
    finally:
        log.removeFilter(is_anothers)
        for record in records:
            log.handle(record)


@contextmanager
def said_already() -> Iterator[None]:
    """Drops this thread's log records: they repeat what was said before."""
    with held_back() as records:
        try:
            yield
        finally:
            records.clear()
