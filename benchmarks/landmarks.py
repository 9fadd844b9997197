"""``python -m benchmarks.landmarks``: what a long conversation takes up, with all of its past and with landmarks.

The embedded model is asked question after question in one conversation. Counted are the tokens said, the cells of
the cache that are used, the tokens read for each question, and the first turn that does not fit.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.record import print_table, write_record
from mch_runtime.conversation import Conversation, Policy
from mch_runtime.engine import Engine
from mch_runtime.errors import UsageError
from mch_runtime.observer import SilentObserver
from mch_runtime.options import AskOptions, EngineOptions, Landmarks
from sage_cli.assets import DEFAULT_MODEL

NAMES = ("Ann", "Ben", "Cara", "Dan", "Eva", "Finn")
THINGS = ("apples", "rings", "books", "coins")


def question(turn: int) -> str:
    """A question that no other turn asks."""
    one, other = NAMES[turn % 6], NAMES[(turn + 1 + turn // 6) % 6]
    thing, count, more = THINGS[turn % 4], 3 + turn % 17, 2 + turn % 7
    if one == other:
        other = "Gus"
    return f"{one} has {count} {thing}. {other} has {more} more {thing} than {one}. How many {thing} does {other} have?"


def measure(engine: Engine, policy: Policy, turns: int, landmarks: Landmarks) -> dict[str, Any]:
    """Ask until ``turns`` are over or one does not fit."""
    talk = Conversation(engine, AskOptions(max_tokens=128), policy=policy, landmarks=landmarks)
    cells, read = [], []
    for turn in range(turns):
        try:
            asked = talk.ask(question(turn), observer=SilentObserver())
        except UsageError:
            break
        assert asked is not None
        cost = asked.trace.cost
        read.append(cost.prompt_tokens - cost.cached_tokens)
        cells.append(engine.n_cells)
    return {
        "policy": policy,
        "turns": len(cells),
        "tokens_said": talk.used(),
        "cells_most": max(cells),
        "cells_last": cells[-1],
        "tokens_read_per_turn": sum(read) / len(read),
        "tokens_read_most": max(read),
        "context": engine.n_ctx,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--ctx-size", type=int, default=512)
    parser.add_argument("--window", type=int, default=192)
    parser.add_argument("--every", type=int, default=8)
    chosen = parser.parse_args()
    results = []
    for policy in ("full", "landmark"):
        with Engine.open(EngineOptions(model=DEFAULT_MODEL, ctx_size=chosen.ctx_size)) as engine:
            landmarks = Landmarks(window=chosen.window, every=chosen.every)
            results.append(measure(engine, policy, chosen.turns, landmarks))  # type: ignore[arg-type]
    header = ["policy", "turns", "tokens said", "cells, most", "context", "read per turn", "most"]
    rows = [
        [
            str(found[key]) if key != "tokens_read_per_turn" else f"{found[key]:.1f}"
            for key in (
                "policy", "turns", "tokens_said", "cells_most", "context", "tokens_read_per_turn", "tokens_read_most",
            )
        ]
        for found in results
    ]  # fmt: skip
    print_table("What a conversation takes up", header, rows)
    write_record("landmarks", {"policies": results})


if __name__ == "__main__":
    main()
