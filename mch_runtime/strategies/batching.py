"""Many chains in one batch: one that ends frees its place, and the next waiting one takes it.

The chains may belong to one question or to many. Those of one question share its prompt in the cache, and as long
as they say the same they are read as one: what each of them draws next is its own, and one that says something else
goes on by itself from there. When the context fills up, the chain that began last gives its place back and is read
again later; what it has written stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mch_runtime.chain import Chain, advance
from mch_runtime.session import Block, Branch, Feed, Session

SPARE_BRANCHES = 2  # left free, so that a chain can be scored while others are written
ROOM_TO_BEGIN = 32  # tokens that every chain should find free when another one begins


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A prompt in the cache, all of it but its last token. skipped: tokens that were read and forgotten again."""

    branch: Branch
    token_ids: Sequence[int]
    skipped: int = 0


class Row:
    """A chain with its place in the batch, or waiting for one.

    parent: a branch that holds the prompt and some of what the chain begins with already, alive until the row has
    a place; else the trunk. steps: stand still once the chain has so many; None: never. hold: keep the branch when
    the chain ends.
    """

    def __init__(
        self,
        trunk: Trunk,
        chain: Chain,
        *,
        parent: tuple[Branch, int] | None = None,
        steps: int | None = None,
        hold: bool = False,
    ) -> None:
        """parent: with how many tokens of it are shared."""
        self.trunk = trunk
        self.chain = chain
        self.branch: Branch | None = None
        self.steps = steps
        self.hold = hold
        self.said: Hashable = (id(trunk), tuple(chain.token_ids))  # equal for rows that have said the same
        self._parent = parent
        self._resources = ExitStack()

    @property
    def ended(self) -> bool:
        return self.chain.finish_reason is not None

    @property
    def stands(self) -> bool:
        """Whether it has the steps that it was to have; another number of steps lets it go on."""
        return self.steps is not None and len(self.chain.steps) >= self.steps

    def open(self, session: Session) -> None:
        """Take a place."""
        branch, length = self._parent or (self.trunk.branch, self.trunk.branch.length)
        self.branch = self._resources.enter_context(session.fork(branch, length=length))
        self._parent = None

    def follow(self, session: Session, other: Row) -> None:
        """Take over what another row has read."""
        assert other.branch is not None
        self.close()
        self._parent = other.branch, other.branch.length
        self.open(session)

    def close(self) -> None:
        """Give the place back; the chain keeps what it has."""
        self.branch = None
        self._resources.close()

    def ride(self) -> None:
        """Another row was read for this one; without a place it would begin at the trunk."""
        self._parent = None

    def due(self) -> Sequence[int]:
        """What of the prompt and the chain the branch has not taken yet: its last token at least."""
        prompt = self.trunk.token_ids
        if self.branch is not None:
            length = self.branch.length
        else:
            length = self._parent[1] if self._parent is not None else self.trunk.branch.length
        taken = length + self.trunk.skipped - len(prompt)
        written = self.chain.token_ids
        return written[taken:] if taken >= 0 else [*prompt[taken:], *written]


class Batch:
    """The rows that are written together. ``most`` is how many at a time; the session's room is a limit too."""

    def __init__(self, session: Session, *, most: int) -> None:
        self._session = session
        self._most = most
        self._waiting: deque[Row] = deque()
        self._live: list[Row] = []

    @property
    def has_room(self) -> bool:
        """Whether a further chain would not have to wait."""
        return not self._waiting and self._can_admit()

    def add(self, row: Row) -> None:
        """Write a row from now on, or as soon as there is a place."""
        self._waiting.append(row)

    def drop(self, row: Row) -> None:
        """Write it no further and free its place."""
        if row in self._waiting:
            self._waiting.remove(row)
        if row in self._live:
            self._live.remove(row)
        row.close()

    def step(self) -> None:
        """A token for each row. Those that have ended give their places back, unless they hold them.

        Raises ResourceError if not even one row has room, and Interrupted.
        """
        self._admit()
        groups = self._fitting()
        if not groups:
            return

        def read(block: Block) -> None:
            advance(
                block,
                ((place, row.chain) for place, feed in enumerate(block.feeds) for row in groups[feed]),
            )

        feeds = []
        for leader, *_ in groups:
            if leader.branch is None:
                leader.open(self._session)
            assert leader.branch is not None
            feeds.append(Feed.last(leader.branch, leader.due()))
        try:
            self._session.decode(feeds, read)
            for group in groups:
                self._part(*group)
        finally:
            for row in [row for row in self._live if row.ended]:
                self._live.remove(row)
                if not row.hold:
                    row.close()

    def make_room(self, tokens: int, *, branches: int = SPARE_BRANCHES) -> None:
        """Let rows wait until so much is free, or none is left that could."""
        session = self._session
        while self._live and (session.free_tokens < tokens or session.free_branches < branches):
            if not self._let_wait():
                return

    def _admit(self) -> None:
        while self._waiting and self._can_admit():
            self._live.append(self._waiting.popleft())

    def _can_admit(self) -> bool:
        if not self._live:
            return True
        session, count = self._session, len(self._live) + 1
        unopened = sum(row.branch is None for row in self._live)
        return (
            count <= self._most
            and session.free_branches - unopened > SPARE_BRANCHES
            and session.free_tokens >= ROOM_TO_BEGIN * count
        )

    def _fitting(self) -> list[list[Row]]:
        """The rows to be written, after as many have been made to wait as the context has no room for.

        Those that have said the same are together, the one that has been read furthest first: it is read for all.
        """
        while True:
            groups: dict[Hashable, list[Row]] = {}
            for row in self._live:
                if not row.stands:
                    groups.setdefault(row.said, []).append(row)
            found = [sorted(group, key=_unread) for group in groups.values()]
            needed = sum(len(group[0].due()) for group in found)
            if len(found) < 2 or needed <= self._session.free_tokens or not self._let_wait():
                return found

    def _part(self, leader: Row, *others: Row) -> None:
        """Let those that said something else than the leader, which was read for all, go on by themselves."""
        said: dict[tuple[int, int], list[Row]] = {}
        for row in others:
            row.ride()
        for row in (leader, *others):
            said.setdefault((len(row.chain.token_ids), row.chain.token_ids[-1]), []).append(row)
        for group in said.values():
            mark = object()
            for row in group:
                row.said = mark
            going = [row for row in group if not row.ended and not row.stands]
            kept = [row for row in group if row.hold and row not in going]
            for row in (*kept, *(going[:1] if leader not in going else ())):
                if row is not leader:
                    row.follow(self._session, leader)

    def _let_wait(self) -> bool:
        """Take its place from the row that began last, unless it is the only one; whether there was one."""
        able = [row for row in self._live if not row.stands and not row.hold]
        if not able:
            return False
        row = able[-1]
        self._live.remove(row)
        row.close()
        self._waiting.appendleft(row)
        return True


def _unread(row: Row) -> int:
    return len(row.due())
