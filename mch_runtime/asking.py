"""A question to a trace, where one chain is all that is wanted."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from mch_runtime.answers import AnswerSplitter, normalise
from mch_runtime.chain import Chain
from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.witness import HeadWitness
from mch_runtime.held import Start
from mch_runtime.listener import Listener
from mch_runtime.observer import Observer
from mch_runtime.options import AskOptions
from mch_runtime.prompting import Prompt
from mch_runtime.rig import Rig
from mch_runtime.stamp import now, sage_version, seed_of
from mch_runtime.strategies.fast import FastRun, go_on, write_fast
from mch_runtime.trace import Cost, Seconds, Trace


def ask_fast(rig: Rig, question: str, options: AskOptions, observer: Observer) -> Trace:
    """The answer as the sampler draws it. What it leaves in the cache stays there only if it is to be kept.

    An interrupt keeps what was written. Raises UsageError if the question is empty or does not fit the context.
    """
    if options.landmarks is None:
        prompt = rig.prompter.fitting(question, options)
    else:
        prompt = rig.prompter.prompt(question, options)
        landmarks = rig.prompter.with_system(options.landmarks, options.system)
        options = replace(options, landmarks=landmarks)
    try:
        return _Answer(rig, prompt, options, observer).written(question)
    finally:
        if not options.keep:
            rig.held.release()


@dataclass(frozen=True)
class _Writing:
    """A chain that has been written. cached: tokens of its prompt that were not read again."""

    chain: Chain
    run: FastRun
    cached: int


class _Answer:
    """One answer on its way."""

    def __init__(self, rig: Rig, prompt: Prompt, options: AskOptions, observer: Observer) -> None:
        self._rig = rig
        self._prompt = prompt
        self._options = options
        self._observer = observer
        self._reader: QuestionReader | None = rig.reader(prompt, options)
        self._trusted = partial(rig.trust.trusted, options, self._reader)
        self._witness = HeadWitness(rig.head, calibrated=self._trusted) if rig.head else None
        self._listener = Listener(observer, AnswerSplitter(rig.dialect, opened=prompt.opens_reasoning))

    def written(self, question: str) -> Trace:
        """Write it."""
        seed = seed_of(self._options.sampling)
        writing = self._write(seed)
        self._listener.flush()
        return self._trace(question, writing, seed)

    def _write(self, seed: int) -> _Writing:
        rig, prompt, options = self._rig, self._prompt, self._options
        start: Start | None = None
        room = rig.session.n_ctx - len(prompt.token_ids)
        if not options.begin:
            start = rig.held.begin(prompt, options, question=self._reader, on_prefill=self._observer.prefill)
            room += start.read - start.branch.length
        with ExitStack() as stack, rig.session.sampler(options.sampling, seed=seed) as sampler:
            chain = Chain(
                rig.session.vocabulary,
                sampler,
                max_tokens=min(options.max_tokens or room, room),
                stop=options.stop,
                witness=self._witness,
                delimiter=rig.head.spec.step_delimiter if rig.head else "\n",
                keep_states=options.keep,
                on_text=self._listener.text,
                on_step=self._listener.step,
            )
            if start is None:
                start = rig.held.replay(prompt, options, chain)
                run = go_on(rig.session, start.branch, chain)
            else:
                run = write_fast(
                    rig.session,
                    stack,
                    prompt.token_ids,
                    chain,
                    question=self._reader,
                    begun=(start.branch, start.read),
                    on_prefill=self._observer.prefill,
                )
        rig.held.settle([*prompt.token_ids, *chain.token_ids])
        if options.keep and run.branch is not None:
            rig.held.keep(prompt, chain, run.branch, options)
        return _Writing(chain, run, start.cached)

    def _trace(self, question: str, writing: _Writing, seed: int) -> Trace:
        rig, options, chain = self._rig, self._options, writing.chain
        answer, witness = self._listener.answer, self._witness
        raw = witness.answer_confidence("fast") if witness else None
        whole = chain.finish_reason == "stop" and not chain.is_cut
        known = raw is not None and whole and rig.trust.has_basis("fast") and self._trusted()
        assert chain.finish_reason is not None
        return Trace(
            question=question,
            answer=normalise(answer),
            answer_text=answer.strip(),
            text=chain.text,
            mode="fast",
            model=rig.model,
            confidence=raw if known else None,
            confidence_basis="fast" if known else None,
            confidence_raw=raw,
            steps=tuple(chain.steps),
            cost=self._cost(writing),
            seed=seed,
            sampling=options.sampling.recorded,
            finish_reason=chain.finish_reason,
            token_ids=tuple(chain.said_ids),
            created=now(),
            sage_version=sage_version(),
            familiar=rig.trust.familiar(self._reader),
        )

    def _cost(self, writing: _Writing) -> Cost:
        chain, run = writing.chain, writing.run
        written = max(0, len(chain.token_ids) - len(self._options.begin))
        return Cost(
            prompt_tokens=len(self._prompt.token_ids),
            generated_tokens=len(chain.token_ids),
            scored_tokens=0,
            seconds=Seconds(
                load=self._rig.load_seconds,
                prefill=run.prefill,
                decode=run.decode,
                head=self._witness.seconds if self._witness else None,
            ),
            tokens_per_second=written / run.decode if run.decode > 0 else 0.0,
            cached_tokens=writing.cached,
        )
