"""How fast many chains are written side by side, beside one after the other by llama-cpp-python's own API, in one run.

``python -m benchmarks.speed votes``. Chains of one question, drawn at the same settings, each to its own end or to as
many tokens as are allowed; a rate counts what was written. For each number of chains sage writes them in one batch, and
llama-cpp-python's ``Llama.generate`` writes some of them one after the other, before and behind that. Beside that stands
what a few lines of ctypes reach with as many rows of likeliest tokens in a batch, all as long as sage's chains in the
mean. Ratios are formed
round by round, and every round has another question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as native
import numpy as np

from benchmarks.evaluation import draw
from benchmarks.native import fill_rows
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.chain import Chain, Reading, read_prompts
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.llama.context import LlamaSession, open_session, thread_counts
from mch_runtime.llama.machine import cores
from mch_runtime.llama.model import open_model
from mch_runtime.loading import choose_dialect, fit_head
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import Interrupt
from mch_runtime.strategies.batching import Batch, Row, Trunk

CHAINS = (1, 4, 8, 16, 32)
SEED = 12
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
    found, own = {}, None
    for count in chains:
        with _opened(path, threads, count) as (session, head, prompts, used):
            own = own or _Llama(path, threads, tokens, next(prompts))
            found[count] = _rounds(session, head, own, count, tokens, islice(prompts, rounds))
    assert own is not None
    rows, figures = [], {}
    for count, rates in found.items():
        ratio = rates["sage"] / rates["one by one"]
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
) -> Iterator[tuple[LlamaSession, Head | None, Iterator[list[int]], tuple[int, int]]]:
    """With the prompts of test problems, one after the other. rows: chains that there is room for."""
    options = EngineOptions(model=path, ctx_size=1024, threads=threads)
    options = options.side_by_side(rows) if rows > 1 else options
    with open_model(path) as model, open_session(model, options, Interrupt()) as session:
        dialect, _ = choose_dialect(model)
        questions = (problem.question for problem in draw("mixed", count=1000, seed=SEED))
        prompts = (
            make_prompt(session.vocabulary, dialect, [{"role": "user", "content": question}]).token_ids
            for question in questions
        )
        yield session, fit_head(model, session, options).head, prompts, thread_counts(model, options)


def _rounds(
    session: LlamaSession,
    head: Head | None,
    own: _Llama,
    count: int,
    tokens: int,
    prompts: Iterable[list[int]],
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Tokens per second of each way, round by round."""
    rates: dict[str, list[float]] = {"sage": [], "one by one": [], "bare batch": []}
    apart = min(APART, count)
    for prompt in prompts:
        before = _timed(lambda: own.write(prompt, apart))  # noqa: B023
        together = _timed(lambda: _side_by_side(session, head, prompt, count, tokens))  # noqa: B023
        behind = _timed(lambda: own.write(prompt, apart))  # noqa: B023
        length = -(-together[0] // count)
        bare = _timed(lambda: _bare(session, prompt, count, length))  # noqa: B023
        for name, parts in {"sage": [together], "one by one": [before, behind], "bare batch": [bare]}.items():
            rates[name].append(_rate(*parts))
    return {name: np.array(values) for name, values in rates.items()}


def _rate(*parts: tuple[int, float]) -> float:
    """Tokens per second of all parts together."""
    written, seconds = zip(*parts, strict=True)
    return float(sum(written) / sum(seconds))


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    """How many tokens some work has written, and in how many seconds."""
    began = perf_counter()
    return work(), perf_counter() - began


class _Llama:
    """llama-cpp-python's own class with the settings that it comes with, on as many threads as suit it."""

    def __init__(self, path: Path, threads: int | None, tokens: int, prompt: list[int]) -> None:
        self._tokens = tokens
        self._seed = 0
        tried = {count: self._made(path, count) for count in ({threads} if threads else {1, cores()})}
        rates = {}
        for count, self._llama in tried.items():
            rates[count] = max(_rate(_timed(lambda: self.write(prompt, 1))) for _ in range(4))
        self.threads = max(rates, key=lambda count: rates[count])
        self._llama = tried[self.threads]

    @staticmethod
    def _made(path: Path, threads: int) -> Any:
        return llama_cpp.Llama(
            str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def write(self, prompt: list[int], count: int) -> int:
        """So many chains, one after the other, each to text; how many tokens they have."""
        return sum(len(self._chain(prompt)) for _ in range(count))

    def _chain(self, prompt: list[int]) -> list[int]:
        self._seed += 1
        self._llama.set_seed(self._seed)
        vocabulary = native.llama_model_get_vocab(self._llama.model)
        found: list[int] = []
        for token in self._llama.generate(
            prompt,
            top_k=SAMPLING.top_k,
            top_p=SAMPLING.top_p,
            min_p=SAMPLING.min_p,
            temp=SAMPLING.temperature,
        ):
            found.append(token)
            if len(found) == self._tokens or native.llama_vocab_is_eog(vocabulary, token):
                break
        self._llama.detokenize(found)
        return found


def _side_by_side(
    session: LlamaSession, head: Head | None, prompt: list[int], count: int, tokens: int
) -> int:
    """As the strategies do: a prompt that is read once, and rows in a batch behind it; how many tokens they have."""
    with ExitStack() as stack:
        branch = stack.enter_context(session.branch())
        read_prompts(session, [Reading(branch=branch, token_ids=prompt)])
        batch = Batch(session, most=count)
        trunk = Trunk(branch=branch, token_ids=prompt)
        rows = []
        for seed in range(count):
            witness = HeadWitness(head, calibrated=lambda: True) if head is not None else None
            sampler = stack.enter_context(session.sampler(SAMPLING, seed=seed))
            chain = Chain(session.vocabulary, sampler, max_tokens=tokens, witness=witness)
            rows.append(Row(trunk, chain))
            stack.callback(rows[-1].close)
            batch.add(rows[-1])
        while not all(row.ended for row in rows):
            batch.step()
        return sum(len(row.chain.token_ids) for row in rows)


def _bare(session: LlamaSession, prompt: list[int], count: int, tokens: int) -> int:
    """The same by llama.cpp's low-level API alone, the likeliest token in every row; how many tokens."""
    context = session.handle.pointer
    memory = native.llama_get_memory(context)
    sampler = native.llama_sampler_init_greedy()
    batch = native.llama_batch_init(max(len(prompt), count), 0, 1)
    try:
        native.llama_set_embeddings(context, False)  # noqa: FBT003 - llama.cpp's own signature
        fill_rows(batch, [(token, place, 0) for place, token in enumerate(prompt)], outputs=1)
        assert native.llama_decode(context, batch) == 0
        drawn = [native.llama_sampler_sample(sampler, context, -1)] * count
        for sequence in range(1, count):
            native.llama_memory_seq_cp(memory, 0, sequence, 0, -1)
        for position in range(len(prompt), len(prompt) + tokens - 1):
            fill_rows(batch, [(token, position, row) for row, token in enumerate(drawn)], outputs=count)
            assert native.llama_decode(context, batch) == 0
            drawn = [native.llama_sampler_sample(sampler, context, row) for row in range(count)]
        return count * tokens
    finally:
        native.llama_batch_free(batch)
        native.llama_sampler_free(sampler)
        for sequence in range(count):
            native.llama_memory_seq_rm(memory, sequence, 0, -1)
        native.llama_set_embeddings(context, session.handle.outputs_all)
