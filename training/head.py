"""The head's stage: fit on traces, calibrate, describe, write ``head.safetensors``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mch_runtime.fitting import making
from mch_runtime.head.container import write_safetensors_head
from mch_runtime.head.fit import FitConfig, TraceSet
from mch_runtime.head.spec import Head
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import Prompt, make_prompt
from mch_runtime.session import Interrupt, Session
from prompts.dialects import shipped


def make_head(
    base: Path,
    train: TraceSet,
    held_out: TraceSet,
    greedy: TraceSet,
    questions: Iterable[str],
    config: FitConfig,
    out: Path,
    *,
    data: str,
) -> Head:
    """Fit a head for the GGUF ``base`` and write it to ``out``.

    ``held_out`` stops the fit and calibrates the channels. ``greedy`` are greedy chains that calibrate the
    confidence of fast mode, and ``questions`` set the threshold of familiarity: both of the validation split,
    in the mixture that users are told to expect. data: what the traces are, in words.
    """
    with _session(base) as session:
        tied = making.tie(session, base, template=shipped()["sage-pico"].sha256)
        familiarity = making.familiarity_of(session, prompts(session, questions))
    head = making.make_head(
        tied,
        train,
        held_out,
        greedy,
        config,
        name="sage-pico-mch",
        familiarity=familiarity,
        provenance={"data": data, "familiarity_false_alarms": making.FALSE_ALARMS},
        report=print,
    )
    write_safetensors_head(head, out)
    return head


def prompts(session: Session, questions: Iterable[str]) -> Iterator[Prompt]:
    """Each question as sage-pico is asked it."""
    dialect = shipped()["sage-pico"]
    return (make_prompt(session.vocabulary, dialect, [{"role": "user", "content": q}]) for q in questions)


@contextmanager
def _session(base: Path) -> Iterator[Session]:
    options = EngineOptions(model=base, threads=1, max_sequences=32, ctx_size=32 * 512)
    with open_model(base) as model, open_session(model, options, Interrupt()) as session:
        yield session
