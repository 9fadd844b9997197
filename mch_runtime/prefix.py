"""What a conversation leaves in the cache, so that its next question reads only what is new.

One branch holds the tokens of the last prompt and of what was written behind it. The next prompt goes back to the
longest beginning that both share, which serves a new question as well as an answer drawn again, taken back or
continued elsewhere. A past that outgrows the context may be thinned to landmarks (SAGE-32B, section 2.3): its
beginning, its latest tokens and every k-th between them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from mch_runtime.errors import UsageError
from mch_runtime.options import Landmarks
from mch_runtime.session import Block, Branch, Feed, Session

STRIDE = 256  # tokens read between two looks at how full the cache is


class Prefix:
    """The branch of a conversation. One at a time; ``release`` gives its place back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stack = ExitStack()
        self._branch: Branch | None = None
        self._token_ids: list[int] = []  # all that were read
        self._kept: list[int] = []  # the places of those that the branch still holds

    @property
    def cells(self) -> int:
        """Tokens held in the cache."""
        return self._branch.length if self._branch is not None else 0

    def rewind(self, token_ids: Sequence[int]) -> Branch:
        """The branch, back at the longest beginning that it shares with ``token_ids`` but for their last.

        The last token is left out because its row of logits is wanted again.
        """
        branch = self._open()
        common = shared(self._token_ids, token_ids[:-1])
        self._session.truncate(branch, bisect_left(self._kept, common))
        del self._token_ids[common:], self._kept[branch.length :]
        return branch

    @property
    def known(self) -> int:
        """How many tokens of the last prompt need not be read, whether the cache still holds them or not."""
        return len(self._token_ids)

    def read(
        self,
        token_ids: Sequence[int],
        landmarks: Landmarks,
        *,
        head: int,
        reserve: int,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Read ``token_ids``, which begin with the known ones, but for the last, and thin where that is needed.

        head: how many tokens of the beginning always stay. reserve: tokens of room to leave for an answer.
        Raises UsageError if the head, the window and the reserve together do not fit the context.
        """
        branch = self._open()
        while self.known < len(token_ids) - 1:
            stride = min(STRIDE, len(token_ids) - 1 - self.known)
            self._make_room(stride, landmarks, head)
            part = token_ids[self.known : self.known + stride]
            try:
                self._session.decode([Feed(branch, part, len(part))], _nothing)
            finally:
                self.advance(part)
            on_progress(self.known, len(token_ids))
        self._make_room(reserve + 1, landmarks, head)

    def advance(self, token_ids: Sequence[int]) -> None:
        """The branch has read these tokens, or as many of them as it has grown by."""
        grown = self.cells - len(self._kept)
        self._kept += range(self.known, self.known + grown)
        self._token_ids += token_ids[:grown]

    def release(self) -> None:
        """Forget everything."""
        self._stack.close()
        self._branch, self._token_ids, self._kept = None, [], []

    def _open(self) -> Branch:
        if self._branch is None:
            self._branch = self._stack.enter_context(self._session.branch())
        return self._branch

    def _make_room(self, wanted: int, landmarks: Landmarks, head: int) -> None:
        room = self._session.n_ctx - wanted
        if self.cells <= room:
            return
        kept = landmark_places(self.known, head=head, landmarks=landmarks, room=room)
        held = set(self._kept)
        places = [place for place in kept if place in held]
        self._session.thin(self._open(), [bisect_left(self._kept, place) for place in places])
        self._kept = places


def landmark_places(known: int, *, head: int, landmarks: Landmarks, room: int) -> list[int]:
    """Which of ``known`` tokens stay: ``head`` at the beginning, the last ``window``, every k-th between them.

    k is ``every``, doubled until no more than ``room`` stay: what is a landmark for a larger k was one for every
    smaller k. Raises UsageError if head and window alone are more.
    """
    window = max(head, known - landmarks.window)
    spare = room - head - (known - window)
    if spare < 0:
        raise UsageError(
            f"the system prompt and the last {landmarks.window:,} tokens leave no room to read and answer in",
            hint="raise --ctx-size, or lower the window with /set context landmark WINDOW",
        )
    step = landmarks.every
    while spare and len(range(head, window, step)) > spare:
        step *= 2
    between = range(head, window, step) if spare else ()
    return [*range(min(head, known)), *between, *range(window, known)]


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the longest common beginning."""
    limit = min(len(one), len(other))
    return next((place for place in range(limit) if one[place] != other[place]), limit)


def _nothing(_block: Block) -> None:
    """No outputs are wanted."""
