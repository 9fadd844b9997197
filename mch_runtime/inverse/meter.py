"""A session that counts the tokens it reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from mch_runtime.attention import AttentionReader, AttentionSource
from mch_runtime.options import SamplingOptions
from mch_runtime.session import Branch, Feed, Reader, Sampler, Session, Vocabulary


class MeteredSession:
    """See :class:`mch_runtime.session.Session`. tokens: how many have been read, with outputs or without."""

    def __init__(self, session: Session) -> None:
        self.tokens = 0
        self._session = session

    @property
    def vocabulary(self) -> Vocabulary:
        return self._session.vocabulary

    @property
    def n_ctx(self) -> int:
        return self._session.n_ctx

    @property
    def n_embd(self) -> int:
        return self._session.n_embd

    @property
    def free_branches(self) -> int:
        return self._session.free_branches

    @property
    def free_tokens(self) -> int:
        return self._session.free_tokens

    def branch(self) -> AbstractContextManager[Branch]:
        return self._session.branch()

    def fork(self, parent: Branch, *, length: int | None = None) -> AbstractContextManager[Branch]:
        return self._session.fork(parent, length=length)

    def truncate(self, branch: Branch, length: int) -> None:
        self._session.truncate(branch, length)

    def thin(self, branch: Branch, kept: Sequence[int]) -> None:
        self._session.thin(branch, kept)

    def decode(self, feeds: Sequence[Feed], read: Reader, *, states: bool = True) -> None:
        self._session.decode(feeds, read, states=states)
        self.tokens += sum(len(feed.token_ids) for feed in feeds)

    def sampler(self, sampling: SamplingOptions, *, seed: int) -> AbstractContextManager[Sampler]:
        return self._session.sampler(sampling, seed=seed)

    def metered(self, attention: AttentionSource) -> AttentionSource:
        """A source whose tokens are counted as well."""

        def source(token_ids: Sequence[int], read: AttentionReader) -> None:
            attention(token_ids, read)
            self.tokens += len(token_ids)

        return source
