"""What models are measured on: plain text in windows, or chains of reasoning with their questions.

A plain text is cut at form feeds into documents and each of those into windows; a chain is a window of its
own. Everything is tokenized as untrusted text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from mch_runtime.errors import DataError
from mch_runtime.files import read_regular_file
from mch_runtime.inverse.subject import Written, as_written
from mch_runtime.llama.model import LlamaModel
from mch_runtime.loading import choose_dialect, special_text
from mch_runtime.prompting import make_prompt, plain_tokens
from mch_runtime.records import LONGEST, parse_record
from mch_runtime.strict_json import loads
from prompts.dialects import dialect_of

WINDOW = 256
MOST_TOKENS = 1 << 14
LONGEST_FILE = 64 << 20
_LABEL = "right"


@dataclass(frozen=True, kw_only=True)
class Document:
    """Tokens that a model reads at once. first: the first of them that is scored, at least 1.

    chain: from ``first`` on it is a chain of reasoning, its question before it; right: whether the chain's
    answer is right, where that is known.
    """

    token_ids: tuple[int, ...]
    first: int = 1
    chain: bool = False
    right: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A question with somebody's chain."""

    question: str
    text: str
    answer: str
    right: bool | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """Something to measure on: either plain parts or chains.

    window: tokens of a window of a plain part; most_tokens: where it is cut off.
    """

    name: str
    parts: tuple[str, ...] = ()
    chains: tuple[Labelled, ...] = ()
    window: int = WINDOW
    most_tokens: int = MOST_TOKENS

    def documents(self, model: LlamaModel) -> list[Document]:
        """The text in ``model``'s tokens. Raises DataError if it is shorter than a window."""
        found: list[Document] = []
        tokens = 0
        for document in self._all(model):
            if found and tokens + len(document.token_ids) > self.most_tokens:
                break
            found.append(document)
            tokens += len(document.token_ids)
        if not found:
            raise DataError(f"{self.name} holds no text", hint="give a text of a few thousand words")
        if self.parts and len(self.parts) == 1 and tokens < self.window:
            raise DataError(
                f"{self.name} has {tokens} tokens, fewer than a window of {self.window}",
                hint="give a longer text, or a smaller --window",
            )
        return found

    def _all(self, model: LlamaModel) -> Iterator[Document]:
        if self.chains:
            yield from _chain_documents(model, self.chains)
            return
        vocabulary = model.vocabulary
        start = vocabulary.tokenize("", add_bos=True)
        room = self.window - len(start)
        for part in self.parts:
            token_ids = plain_tokens(vocabulary, part)
            for begin in range(0, len(token_ids), room):
                window = (*start, *token_ids[begin : begin + room])
                if len(window) > 1:
                    yield Document(token_ids=window)


def _chain_documents(model: LlamaModel, chains: tuple[Labelled, ...]) -> Iterator[Document]:
    dialect, _ = choose_dialect(model)
    for one in chains:
        messages = [{"role": "user", "content": one.question}]
        prompt = make_prompt(
            model.vocabulary,
            dialect,
            messages,
            bos_token=special_text(model, "bos"),
            eos_token=special_text(model, "eos"),
        ).token_ids
        _, chain = as_written(
            model.vocabulary, dialect, Written(question=one.question, text=one.text, answer=one.answer)
        )
        yield Document(token_ids=(*prompt, *chain), first=len(prompt), chain=True, right=one.right)


def read_text(path: Path, *, window: int = WINDOW, most_tokens: int = MOST_TOKENS) -> Text:
    """A file of plain text, or of chains if it is JSON Lines. Raises DataError, or what reading it raises."""
    raw = read_regular_file(path, limit=LONGEST_FILE)
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    if content.lstrip().startswith("{"):
        return Text(name=path.name, chains=_chains(content, path), window=window, most_tokens=most_tokens)
    parts = tuple(part for part in content.split("\f") if part.strip())
    if not parts:
        raise DataError(f"{path} is empty", hint="give a text of a few thousand words")
    return Text(name=path.name, parts=parts, window=window, most_tokens=most_tokens)


def read_traces(path: Path, *, most_tokens: int = MOST_TOKENS) -> Text:
    """A JSON Lines file of chains. Raises DataError for anything else."""
    text = read_text(path, most_tokens=most_tokens)
    if not text.chains:
        raise DataError(
            f"{path} holds no traces", hint='each line is an object with "question", "text" and "right"'
        )
    return text


def bundled(model: LlamaModel, *, window: int = WINDOW) -> Text:
    """The text that comes with sage for this kind of model."""
    template = model.gguf.metadata.get("tokenizer.chat_template")
    name = dialect_of(template if isinstance(template, str) else None).name
    return _bundled("sage-pico.jsonl" if name == "sage-pico" else "english.txt", window)


@cache
def _bundled(name: str, window: int) -> Text:
    return read_text(Path(str(files("quant") / "text" / name)), window=window)


def _chains(content: str, path: Path) -> tuple[Labelled, ...]:
    return tuple(
        _labelled(line, number, path)
        for number, line in enumerate(content.splitlines(), start=1)
        if line.strip()
    )


def _labelled(line: str, number: int, path: Path) -> Labelled:
    if len(line) > LONGEST:
        raise DataError(f"{path}, line {number}, is too long", hint=f"at most {LONGEST:,} characters")
    record = parse_record(line, line=number)
    right = loads(line).get(_LABEL)
    if right is not None and not isinstance(right, bool):
        raise DataError(
            f'{path}, line {number}: "{_LABEL}" is neither true nor false', hint="or leave it out"
        )
    return Labelled(question=record.question, text=record.text, answer=record.answer, right=right)
