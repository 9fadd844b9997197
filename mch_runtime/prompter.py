"""Questions to prompts, as one model wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from mch_runtime.errors import DataError, UsageError
from mch_runtime.options import AskOptions, ExplainOptions, Landmarks, Message
from mch_runtime.prefix import shared
from mch_runtime.prompting import Frame, Prompt, make_prompt
from mch_runtime.session import Session, TextDecoder
from mch_runtime.trace import Trace
from prompts.dialects import Dialect
from prompts.sandbox import TemplateRefusedError

_REMEMBERED = 16


class Prompter:
    """Makes prompts and remembers the last few, since a foreign template is rendered in a process of its own."""

    def __init__(
        self, session: Session, dialect: Dialect, *, special_texts: Mapping[str, str], file: str
    ) -> None:
        """special_texts: see ``make_prompt``. file: the model's, for errors."""
        self._session = session
        self._dialect = dialect
        self._special_texts = special_texts
        self._file = file
        self._prompts: dict[tuple[str, tuple[Message, ...], str], Prompt] = {}

    def prompt(self, question: str, options: AskOptions | ExplainOptions) -> Prompt:
        """The prompt of a question, whether or not it fits. Raises UsageError if the question is empty."""
        if not question.strip():
            raise UsageError("the question is empty", hint='try: sage "Ann has 3 apples. ..."')
        key = (options.system, options.past, question)
        if key not in self._prompts:
            while len(self._prompts) >= _REMEMBERED:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[key] = self._made(*key)
        return self._prompts[key]

    def fitting(self, question: str, options: AskOptions | ExplainOptions) -> Prompt:
        """The prompt. Raises UsageError if the question is empty or does not fit the context."""
        prompt = self.prompt(question, options)
        if len(prompt.token_ids) >= self._session.n_ctx:
            raise UsageError(
                f"the question has {len(prompt.token_ids):,} tokens, the context holds {self._session.n_ctx:,}",
                hint="shorten it, or raise --ctx-size",
            )
        return prompt

    def with_system(self, landmarks: Landmarks, system: str) -> Landmarks:
        """With the system prompt's tokens to stay: those that any two prompts under it share."""
        if landmarks.head is not None:
            return landmarks
        one, other = (self.prompt(question, AskOptions(system=system)).token_ids for question in "ab")
        return replace(landmarks, head=shared(one, other))

    def said(self, trace: Trace) -> Message:
        """What the model is shown later of an answer of its own.

        Its reasoning is left out where the template marks it as such, as the authors of such templates do.
        """
        if self._dialect.opens and trace.text.strip() != trace.answer_text:
            return Message(role="assistant", content=trace.answer_text)
        token_ids = trace.token_ids
        if token_ids and self._session.vocabulary.is_end(token_ids[-1]):
            token_ids = token_ids[:-1]
        if self._text(token_ids) != trace.text:  # a stop string began within the last of them
            token_ids = ()
        return Message(role="assistant", content=trace.text, token_ids=token_ids)

    @cached_property
    def frame(self) -> Frame | None:
        """The inverse prompt; None if the model's template cannot show it."""
        from mch_runtime.inverse.consistency import inverse_frame

        try:
            return inverse_frame(self._session.vocabulary, self._dialect, **self._special_texts)
        except TemplateRefusedError:
            return None

    def _made(self, system: str, past: Sequence[Message], question: str) -> Prompt:
        messages = [Message(role="system", content=system)] if system else []
        messages += [*past, Message(role="user", content=question)]
        try:
            return make_prompt(
                self._session.vocabulary,
                self._dialect,
                [{"role": message.role, "content": message.content} for message in messages],
                written={
                    place: message.token_ids for place, message in enumerate(messages) if message.token_ids
                },
                **self._special_texts,
            )
        except TemplateRefusedError as error:
            hint = "its template may not take a system prompt: leave it out" if system else ""
            raise DataError(f"{self._file}: {error}", hint=hint) from error

    def _text(self, token_ids: Sequence[int]) -> str:
        decoder, vocabulary = TextDecoder(), self._session.vocabulary
        return "".join(decoder.feed(vocabulary.piece(token_id)) for token_id in token_ids) + decoder.flush()
