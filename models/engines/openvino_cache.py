"""Which attention-cache block belongs to whom, and which blocks hold the beginnings of texts seen before.

A block that nobody uses keeps what it holds until the room is needed, the one used longest ago first.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence

_Key = tuple[int, tuple[int, ...]]  # (serial of the block before, or 0 less the adapter's number; its own token ids)


class BlockPool:
    """Hands out block numbers 0 to `blocks` - 1, each of `block_tokens` tokens; not for several threads at once."""

    def __init__(self, blocks: int, block_tokens: int) -> None:
        self.blocks = blocks
        self.block_tokens = block_tokens
        self._blank = list(range(blocks - 1, -1, -1))
        self._users = [0] * blocks
        self._known: dict[_Key, int] = {}
        self._keys: dict[int, _Key] = {}
        self._serials: dict[int, int] = {}  # never used twice, so the followers of a forgotten block are not found
        self._next_serial = itertools.count(1)
        self._idle: OrderedDict[int, None] = OrderedDict()  # known and unused, least recently used first

    @property
    def free(self) -> int:
        """Blocks that `take` could give now."""
        return len(self._blank) + len(self._idle)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that so many tokens fill."""
        return -(-tokens // self.block_tokens)

    def match(self, ids: Sequence[int], adapter: int = 0) -> list[int]:
        """Takes the known blocks that hold the beginning of `ids`, in order; at least the last id is left uncovered.

        What was read with one adapter is another text to the next.
        """
        found: list[int] = []
        parent = -adapter
        for start in range(0, len(ids) - self.block_tokens, self.block_tokens):
            block = self._known.get((parent, tuple(ids[start : start + self.block_tokens])))
            if block is None:
                break
            parent = self._serials[block]
            self._idle.pop(block, None)
            self._users[block] += 1
            found.append(block)
        return found

    def take(self, count: int) -> list[int]:
        """`count` blocks to write to, [] if there are not so many; what idle ones held is forgotten."""
        if count > self.free:
            return []
        taken = [self._blank.pop() if self._blank else self._forget_oldest() for _ in range(count)]
        for block in taken:
            self._users[block] = 1
        return taken

    def learn(self, ids: Sequence[int], blocks: Sequence[int], adapter: int = 0) -> None:
        """Remembers that the full ones of `blocks` hold `ids`, which begin a text read with that adapter."""
        parent = -adapter
        for block, start in zip(blocks, range(0, len(ids) - self.block_tokens + 1, self.block_tokens), strict=False):
            key = (parent, tuple(ids[start : start + self.block_tokens]))
            holder = self._known.setdefault(key, block)
            if holder == block and block not in self._keys:
                self._keys[block] = key
                self._serials[block] = next(self._next_serial)
            parent = self._serials[holder]

    def release(self, blocks: Sequence[int]) -> None:
        """Gives blocks back."""
        # the end of a text is forgotten before its beginning, which more texts share
        for block in reversed(blocks):
            self._users[block] -= 1
            if not self._users[block]:
                if block in self._keys:
                    self._idle[block] = None
                else:
                    self._blank.append(block)

    def clear(self) -> None:
        """Forgets everything, as after a failed run, when nobody can say what the blocks hold."""
        self.__init__(self.blocks, self.block_tokens)  # type: ignore[misc]

    def _forget_oldest(self) -> int:
        block, _ = self._idle.popitem(last=False)
        del self._known[self._keys.pop(block)], self._serials[block]
        return block
