"""Which prompt tokens an emulated server need not compute again: whole blocks, as servers keep them."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence


class PrefixCache:
    """Remembers prefixes by the hashes of their blocks, the least recently used forgotten first.

    `capacity`, `block`: tokens. `queries` and `hits` count prompt tokens.
    """

    def __init__(self, capacity: int, block: int) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._block = block
        self._most = capacity // block
        self.queries = 0
        self.hits = 0

    def look_up(self, ids: Sequence[int]) -> int:
        """How many tokens at the start of `ids` are here; the last token is always computed."""
        cached = 0
        for end, block in self._ends(ids):
            if block not in self._blocks or end >= len(ids):
                break
            cached = end
        self.queries += len(ids)
        self.hits += cached
        return cached

    def keep(self, ids: Sequence[int]) -> None:
        """Remember every prefix of `ids` that ends with a block."""
        for _, block in self._ends(ids):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)

    def _ends(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Where each whole block ends, and the hash of everything up to there."""
        digest = 0
        for end in range(self._block, len(ids) + 1, self._block):
            digest = hash((digest, *ids[end - self._block : end]))
            yield end, digest
