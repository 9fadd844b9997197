"""One model with all that belongs to it, as an engine hands it to those that work with it."""

from __future__ import annotations

from dataclasses import dataclass

from mch_runtime.attention import AttentionSource
from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.held import Held
from mch_runtime.options import AskOptions
from mch_runtime.prompter import Prompter
from mch_runtime.prompting import Prompt
from mch_runtime.session import Session
from mch_runtime.trace import ModelInfo
from mch_runtime.trust import Trust
from prompts.dialects import Dialect


@dataclass(frozen=True, kw_only=True)
class Rig:
    """held: what the last question has left in the cache. load_seconds: how long it took to load the model."""

    session: Session
    model: ModelInfo
    dialect: Dialect
    head: Head | None
    trust: Trust
    prompter: Prompter
    held: Held
    attention: AttentionSource | None
    load_seconds: float

    def reader(self, prompt: Prompt, options: AskOptions) -> QuestionReader | None:
        """What reads along in a question, where that tells whether the head knows its like."""
        return self.held.reader(prompt) if self.trust.wants_reader(options) else None
