"""Runs a job in a child process of a Dask worker: ``python -m runbook_lib.execute.batch.child FD``.

The file descriptor is a connection. It delivers the job and ``Cancel`` messages, and takes progress and the result.
"""

from __future__ import annotations

import contextlib
import sys
from multiprocessing.connection import Connection

from runbook_lib.execute.batch.work import work


def main(descriptor: int) -> None:
    """Run the job that the connection delivers."""
    with Connection(descriptor) as connection:
        result = work(connection.recv(), connection)
        with contextlib.suppress(ConnectionError):  # the batch may have ended; the records are complete anyway
            connection.send(result)


if __name__ == "__main__":
    main(int(sys.argv[1]))
