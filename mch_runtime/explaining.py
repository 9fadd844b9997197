"""A chain to its explanation, whoever wrote it."""

from __future__ import annotations

from dataclasses import replace

from mch_runtime.explanation import Explanation
from mch_runtime.familiarity import QuestionReader
from mch_runtime.inverse.explain import Setting, explain
from mch_runtime.inverse.subject import Written, foreign_trace, is_own
from mch_runtime.observer import ExplainObserver
from mch_runtime.options import ExplainOptions
from mch_runtime.prompting import Prompt
from mch_runtime.rig import Rig
from mch_runtime.stamp import now, sage_version
from mch_runtime.trace import Trace


def explain_chain(
    rig: Rig, chain: Trace | Written, options: ExplainOptions, observer: ExplainObserver
) -> Explanation:
    """Take a chain apart: one of this model's by its trace, any other scored by teacher forcing.

    An answer that was kept is not read again, and stays. Raises UsageError if there is no chain, or it does not fit
    the context, and Interrupted.
    """
    prompt = rig.prompter.fitting(chain.question, options)
    own = isinstance(chain, Trace) and is_own(rig.session.vocabulary, chain, rig.model)
    trace = chain if own and isinstance(chain, Trace) else _foreign(rig, chain, prompt)
    reader = None if own else _reader(rig, prompt, options)
    familiar = own and trace.familiar is not False
    setting = Setting(
        session=rig.session,
        dialect=rig.dialect,
        head=rig.head,
        frame=rig.prompter.frame,
        attention=rig.attention,
        calibrated=lambda: familiar and rig.trust.calibrated(options),
        observer=observer,
    )
    kept = rig.held.for_explaining(trace.token_ids, options)
    explanation = explain(setting, trace, options, prompt=prompt, own=own, kept=kept, question=reader)
    if own:
        return explanation
    return replace(explanation, trace=replace(explanation.trace, familiar=rig.trust.familiar(reader)))


def _reader(rig: Rig, prompt: Prompt, options: ExplainOptions) -> QuestionReader | None:
    """One that reads all of the question, whatever is held of it."""
    if not rig.trust.wants_reader(options):
        return None
    return QuestionReader(prompt.token_ids, prompt.question or (0, 0))


def _foreign(rig: Rig, chain: Trace | Written, prompt: Prompt) -> Trace:
    """The trace of a chain that this model has not written, before anything is measured."""
    if isinstance(chain, Trace):
        chain = Written(question=chain.question, text=chain.text, answer=chain.answer)
    return foreign_trace(
        rig.session.vocabulary,
        rig.dialect,
        chain,
        model=rig.model,
        prompt_tokens=len(prompt.token_ids),
        load_seconds=rig.load_seconds,
        created=now(),
        sage_version=sage_version(),
    )
