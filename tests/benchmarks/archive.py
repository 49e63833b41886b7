"""The archive's speed: listing 10,000 records, as a whole command, and verifying 1,000.

    python tests/benchmarks/archive.py [--listed 10000] [--verified 1000] [--rounds 5]

Prints the median of the rounds, and beside it what is allowed. The first list, which makes the index, is told too.
Exits 1 if a median is above what is allowed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from tests.benchmarks.archive_of import archive_of  # noqa: E402 - the checkout has to be found first

LIST_ALLOWED = 0.5
VERIFY_ALLOWED = 5.0


def seconds_of(words: Sequence[str]) -> float:
    """Run a command on records and return how long it took from start to end."""
    argv = [sys.executable, "-m", "runbook_lib", "records", *words]
    began = time.perf_counter()
    subprocess.run(argv, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def told(what: str, times: Sequence[float], allowed: float) -> bool:
    """Print the median with its limit, and return whether it holds."""
    median = statistics.median(times)
    print(f"{what}: median {median:.3f} s of {len(times)} (slowest {max(times):.3f} s); at most {allowed:g} s")
    return median <= allowed


def main() -> int:
    """Make the archives, measure, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listed", type=int, default=10_000)
    parser.add_argument("--verified", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OVERLAY_RUNBOOK_SIGNING_KEY"] = f"{folder}/key.pem"
        os.environ["XDG_CONFIG_HOME"] = f"{folder}/config"
        listed, verified = Path(folder, "listed"), Path(folder, "verified")
        archive_of(arguments.listed, listed)
        archive_of(arguments.verified, verified)
        first = seconds_of(["list", "--records", str(listed)])
        print(f"list of {arguments.listed:,} records without an index: {first:.3f} s")
        lists = [seconds_of(["list", "--records", str(listed)]) for _ in range(arguments.rounds)]
        verifications = [seconds_of(["verify", "--records", str(verified)]) for _ in range(arguments.rounds)]
    good = told(f"list of {arguments.listed:,} records", lists, LIST_ALLOWED)
    good &= told(f"verify of {arguments.verified:,} records", verifications, VERIFY_ALLOWED)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
