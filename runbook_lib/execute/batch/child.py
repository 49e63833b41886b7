"""A job in a process of its own, below somebody who has threads: ``python -m runbook_lib.execute.batch.child FD``.

The file descriptor is a connection: the job comes in, progress and at last the result go out, orders may come in.
"""

from __future__ import annotations

import contextlib
import sys
from multiprocessing.connection import Connection

from runbook_lib.execute.batch.work import work


def main(descriptor: int) -> None:
    """Run the job that the connection gives."""
    with Connection(descriptor) as connection:
        result = work(connection.recv(), connection)
        with contextlib.suppress(ConnectionError):  # nobody may be there any more; the records tell all the same
            connection.send(result)


if __name__ == "__main__":
    main(int(sys.argv[1]))
