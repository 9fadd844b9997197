"""20,000 adversarial strings, said by anybody in a conversation: none of them becomes a control token."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.prompting import CLOSES, ENDS, FIRST, OPENS, SECOND, SENTINEL, WRITTEN, make_prompt
from prompts.dialects import Dialect, shipped
from tests.fake_session import SPECIALS, FakeVocabulary
from tests.gguf_samples import write_model

STRINGS = 20_000
FEWER = 2_000  # in dialects that fewer models know
TOGETHER = 200  # messages of one prompt
MARKS = (SENTINEL, OPENS, CLOSES, FIRST, SECOND, WRITTEN, ENDS)
# It trims, and cuts reasoning off, as many templates do.
TRIMMING = Dialect(
    "trimming",
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] | trim }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n",
    trusted=True,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path: Path = write_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    with open_model(path, probe=False) as opened:
        yield opened


def strings(specials: Sequence[str], number: int) -> Iterator[str]:
    """Specials whole, cut, nested, spelled over two strings, between marks of our own and stray characters."""
    rng = random.Random(number)
    parts = [special[:cut] for special in specials for cut in range(1, len(special))]
    tails = [special[cut:] for special in specials for cut in range(1, len(special))]
    atoms = [*specials, *parts, *tails, *MARKS, "system", "\n", " ", "x", "ü", "\u200b", "\U000e0041", "</s>"]
    for _ in range(number):
        text = "".join(rng.choices(atoms, k=rng.randint(1, 10)))
        special = rng.choice(specials)
        cut = rng.randint(0, len(special))
        yield special[:cut] + text + special[cut:] if rng.random() < 0.3 else text


def conversations(specials: Sequence[str], number: int) -> Iterator[list[dict[str, str]]]:
    batch: list[dict[str, str]] = []
    for place, text in enumerate(strings(specials, number)):
        batch.append({"role": "assistant" if place % 2 else "user", "content": text})
        if len(batch) == TOGETHER:
            yield batch
            batch = []


@pytest.mark.parametrize(
    "dialect", [shipped()["chatml"], shipped()["sage-pico"], TRIMMING], ids=lambda d: d.name
)
def test_no_string_becomes_a_control_token(model: LlamaModel, dialect: Dialect) -> None:
    vocabulary = model.vocabulary
    control = {vocabulary.tokenize(special, parse_special=True)[0] for special in vocabulary.specials}
    expected: list[int] | None = None
    number = STRINGS if dialect.name == "chatml" else FEWER
    for turn, batch in enumerate(conversations(vocabulary.specials, number)):
        if expected is None:
            plain = [message | {"content": "x"} for message in batch]
            expected = [t for t in make_prompt(vocabulary, dialect, plain).token_ids if t in control]
        # As if the model had written some of them: their tokens, plain ones, are taken over.
        written = {place: vocabulary.tokenize("well") for place in range(1, len(batch), 4) if turn % 4 == 0}
        prompt = make_prompt(vocabulary, dialect, batch, written=written)
        assert [token for token in prompt.token_ids if token in control] == expected


def test_nothing_that_was_said_is_lost() -> None:
    vocabulary, dialect = FakeVocabulary(), shipped()["sage-pico"]
    for batch in list(conversations(SPECIALS, number=FEWER))[:20]:
        prompt = make_prompt(vocabulary, dialect, batch)
        said = bytes(token for token in prompt.token_ids if token < 256).decode()
        plain = "".join(message["content"] for message in batch)
        assert said == "".join("\ufffd" if character in MARKS else character for character in plain)
