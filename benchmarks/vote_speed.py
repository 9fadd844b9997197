"""How fast many chains are written side by side, beside one after the other by llama-cpp-python's own API, in one run.

``python -m benchmarks.speed votes``. Every chain has as many tokens, drawn at the same settings behind the same
prompt, and no token ends one. For each number of chains sage writes them in one batch, and llama-cpp-python's
``Llama.generate`` writes some of them one after the other, before and behind that; the rate is theirs together. Beside
that stands what a few lines of ctypes reach with as many greedy rows in a batch. Ratios are formed round by round.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as native
import numpy as np

from benchmarks.native import Endless, fill_rows
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.chain import Chain, Reading, read_prompts
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.llama.context import LlamaSession, open_session, thread_counts
from mch_runtime.llama.model import open_model
from mch_runtime.loading import fit_head
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.session import Interrupt
from mch_runtime.strategies.batching import Batch, Row, Trunk

CHAINS = (1, 4, 8, 16, 32)
PROMPT = list(range(1, 65))
SAMPLING = SamplingOptions(temperature=0.8)
APART = 2  # chains that llama-cpp-python writes before a batch, and behind it


def measure_votes(
    path: Path,
    *,
    threads: int | None,
    tokens: int,
    rounds: int,
    chains: Sequence[int] = CHAINS,
    variant: str,
    directory: Path = RECORDS,
) -> None:
    """Measure, print and record. threads: of both; None: sage's own choice, and the better of one and all cores."""
    with _opened(path, threads, max(chains)) as (session, head, used):
        own = _Llama(path, threads, tokens)
        found = {count: _rounds(session, head, own, count, tokens, rounds) for count in chains}
    rows, figures = [], {}
    for count, rates in found.items():
        ratio = rates["sage"] / rates["alone"]
        low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
        of_bare = float(np.median(rates["sage"] / rates["bare batch"]))
        rate = {name: round(float(np.median(values)), 1) for name, values in rates.items()}
        rows.append(
            [
                str(count),
                *(f"{value:.0f}" for value in rate.values()),
                f"{middle:.2f} [{low:.2f}, {high:.2f}]",
                f"{of_bare:.2f}",
            ]
        )
        figures[str(count)] = {
            "tokens_per_second": rate,
            "ratio": {"median": round(middle, 3), "q25": round(low, 3), "q75": round(high, 3)},
            "of_bare_batch": round(of_bare, 3),
        }
    header = ["chains", "sage", "one by one", "bare batch", "sage to one by one, quartiles", "to bare"]
    print_table(f"{path.name}: tokens per second", header, rows)
    results: dict[str, Any] = {"model": path.name, "tokens": tokens, "rounds": rounds, "threads": used}
    results |= {"head": head is not None, "threads_one_by_one": own.threads, "chains": figures}
    name = f"votes{variant and '_'}{variant}"
    print(f"\nrecord: {write_record('speed', results, variant=name, directory=directory)}")


@contextmanager
def _opened(
    path: Path, threads: int | None, rows: int
) -> Iterator[tuple[LlamaSession, Head | None, tuple[int, int]]]:
    options = EngineOptions(model=path, ctx_size=1024, threads=threads).side_by_side(rows)
    with open_model(path) as model, open_session(model, options, Interrupt()) as session:
        yield session, fit_head(model, session, options).head, thread_counts(model, options)


def _rounds(
    session: LlamaSession, head: Head | None, own: _Llama, count: int, tokens: int, rounds: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Tokens per second of each way, round by round; a first round is not counted."""
    seconds: dict[str, list[float]] = {"sage": [], "alone": [], "bare batch": []}
    apart = min(APART, count)
    for _ in range(rounds + 1):
        before = _timed(lambda: own.write(apart))
        seconds["sage"].append(_timed(lambda: _side_by_side(session, head, count, tokens)) / count)
        behind = _timed(lambda: own.write(apart))
        seconds["alone"].append((before + behind) / (2 * apart))
        seconds["bare batch"].append(_bare(session, count, tokens) / count)
    return {name: tokens / np.array(values[1:]) for name, values in seconds.items()}


def _timed(work: Callable[[], None]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


class _Llama:
    """llama-cpp-python's own class with the settings that it comes with, on as many threads as suit it."""

    def __init__(self, path: Path, threads: int | None, tokens: int) -> None:
        self._tokens = tokens
        self._seed = 0
        tried = {count: self._made(path, count) for count in ({threads} if threads else {1, _cores()})}
        for self._llama in tried.values():
            self.write(1)
        self.threads = min(tried, key=lambda count: self._timed_with(tried[count]))
        self._llama = tried[self.threads]

    @staticmethod
    def _made(path: Path, threads: int) -> Any:
        return llama_cpp.Llama(
            str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def _timed_with(self, llama: Any) -> float:
        self._llama = llama
        return min(_timed(lambda: self.write(1)) for _ in range(3))

    def write(self, count: int) -> None:
        """So many chains, one after the other, each to text."""
        for _ in range(count):
            self._seed += 1
            self._llama.set_seed(self._seed)
            drawn = self._llama.generate(
                PROMPT,
                top_k=SAMPLING.top_k,
                top_p=SAMPLING.top_p,
                min_p=SAMPLING.min_p,
                temp=SAMPLING.temperature,
            )
            self._llama.detokenize([token for token, _ in zip(drawn, range(self._tokens), strict=False)])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _side_by_side(session: LlamaSession, head: Head | None, count: int, tokens: int) -> None:
    """As the strategies do: a prompt that is read once, and rows in a batch behind it."""
    with ExitStack() as stack:
        branch = stack.enter_context(session.branch())
        read_prompts(session, [Reading(branch=branch, token_ids=PROMPT)])
        batch = Batch(session, most=count)
        trunk = Trunk(branch=branch, token_ids=PROMPT)
        rows = []
        for seed in range(count):
            witness = HeadWitness(head, calibrated=lambda: True) if head is not None else None
            sampler = stack.enter_context(session.sampler(SAMPLING, seed=seed))
            rows.append(Row(trunk, Chain(Endless(session), sampler, max_tokens=tokens, witness=witness)))
            stack.callback(rows[-1].close)
            batch.add(rows[-1])
        while not all(row.ended for row in rows):
            batch.step()


def _bare(session: LlamaSession, count: int, tokens: int) -> float:
    """Seconds that llama.cpp takes for the same with rows of the first sequences, the likeliest token each."""
    context = session.handle.pointer
    memory = native.llama_get_memory(context)
    sampler = native.llama_sampler_init_greedy()
    batch = native.llama_batch_init(max(len(PROMPT), count), 0, 1)
    began = perf_counter()
    try:
        native.llama_set_embeddings(context, False)  # noqa: FBT003 - llama.cpp's own signature
        fill_rows(batch, [(token, place, 0) for place, token in enumerate(PROMPT)], outputs=1)
        assert native.llama_decode(context, batch) == 0
        drawn = [native.llama_sampler_sample(sampler, context, -1)] * count
        for sequence in range(1, count):
            native.llama_memory_seq_cp(memory, 0, sequence, 0, -1)
        for position in range(len(PROMPT), len(PROMPT) + tokens - 1):
            fill_rows(batch, [(token, position, row) for row, token in enumerate(drawn)], outputs=count)
            assert native.llama_decode(context, batch) == 0
            drawn = [native.llama_sampler_sample(sampler, context, row) for row in range(count)]
        return perf_counter() - began
    finally:
        native.llama_batch_free(batch)
        native.llama_sampler_free(sampler)
        for sequence in range(count):
            native.llama_memory_seq_rm(memory, sequence, 0, -1)
        native.llama_set_embeddings(context, session.handle.outputs_all)
