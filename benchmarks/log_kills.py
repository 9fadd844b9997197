"""``python -m benchmarks.log_kills``: does the log lose an acknowledged answer when its writer is killed?

A child process keeps question after question with its answer and says on a pipe when each of the two has been
acknowledged. It is killed with SIGKILL at a random moment, again and again, on one log; afterwards every
acknowledged question and answer has to be there, and the file has to be sound. The disk's own cache is not tested:
the system stays up.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.record import print_table, write_record
from sage_cli.history import Log

# Questions grow and shrink, so that pages split and merge; what is killed may be any of the writes.
WRITER = """
import sys
from pathlib import Path
from sage_cli.history import Log
from tests.explanation_samples import right
explanation = right()
with Log(Path(sys.argv[1])) as log:
    number = 0
    while True:
        number += 1
        identifier = log.begin("q" * (number * 37 % 3000), "m")
        print("asked", identifier, flush=True)
        log.complete(identifier, explanation.trace)
        print("answered", identifier, flush=True)
        log.keep_explanation(identifier, explanation, conditions={"number": number})
        print("explained", identifier, flush=True)
"""


@dataclass
class Acknowledged:
    """Ids by what was acknowledged of them."""

    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    explained: set[str] = field(default_factory=set)

    def read(self, said: str) -> None:
        """Take in what a writer said; its last line may be cut."""
        for line in said.splitlines(keepends=True):
            kind, _, identifier = line.strip().partition(" ")
            if line.endswith("\n"):
                getattr(self, kind).add(identifier)

    def lost(self, path: Path) -> int:
        """How many of them are not in the log."""
        with Log(path) as log:
            kept = set(log.everything())
            missing = len(self.asked - kept)
            missing += sum(1 for identifier in self.answered & kept if log.find(identifier).trace is None)
            return missing + sum(
                1 for identifier in self.explained & kept if log.explanation(identifier) is None
            )


def kill_writers(path: Path, *, kills: int, seed: int) -> Acknowledged:
    """What was acknowledged by ``kills`` writers, each killed within 50 ms of its first word."""
    draw = random.Random(seed)
    told = Acknowledged()
    for _ in range(kills):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        told.read(child.stdout.readline())
        time.sleep(draw.uniform(0.0, 0.05))
        child.kill()
        told.read(child.stdout.read())
        child.wait()
    return told


def is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    import sqlite3

    db = sqlite3.connect(path)
    try:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        db.close()


def main() -> None:
    """Kill, count and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sage" / "logs.db"
        told = kill_writers(path, kills=arguments.kills, seed=arguments.seed)
        results = {
            "kills": arguments.kills,
            "seed": arguments.seed,
            "asked": len(told.asked),
            "answered": len(told.answered),
            "explained": len(told.explained),
            "lost": told.lost(path),
            "sound": is_sound(path),
        }
    print_table("Acknowledged before SIGKILL", list(results), [[str(value) for value in results.values()]])
    if not arguments.no_record:
        print(f"\nrecord: {write_record('log_kills', results)}")


if __name__ == "__main__":
    main()
