"""Cache blocks are handed out once, remembered by their text and forgotten oldest first."""

from __future__ import annotations

import random

from models.engines.openvino_cache import BlockPool

SIZE = 4


def hold(pool: BlockPool, ids: list[int]) -> list[int]:
    """The blocks of a text whose whole blocks are written and remembered."""
    blocks = pool.match(ids)
    blocks += pool.take(pool.blocks_for(len(ids)) - len(blocks))
    pool.learn(ids, blocks)
    return blocks


def test_the_same_beginning_is_found_again_and_another_is_not() -> None:
    pool = BlockPool(8, SIZE)
    text = list(range(10))
    blocks = hold(pool, text)
    pool.release(blocks)
    assert pool.match([*text, 77]) == blocks[:2]
    assert pool.match([9, *text[1:]]) == []
    # the second block has the same ids after another first block: another text
    assert pool.match([5, 6, 7, 8, *text[4:]]) == []


def test_the_last_id_is_never_taken_from_memory() -> None:
    pool = BlockPool(8, SIZE)
    text = list(range(8))
    blocks = hold(pool, text)
    assert pool.match(text) == blocks[:1]
    assert pool.match([*text, 8]) == blocks


def test_blocks_in_use_are_shared_not_written() -> None:
    pool = BlockPool(4, SIZE)
    text = list(range(9))
    first = hold(pool, text)
    second = hold(pool, text)
    assert second[:2] == first[:2]
    assert second[2] != first[2]
    assert pool.free == 0
    pool.release(first)
    assert pool.free == 1, "what the second text still uses is not free"


def test_too_many_blocks_give_none() -> None:
    pool = BlockPool(2, SIZE)
    assert pool.take(3) == []
    assert len(pool.take(2)) == 2


def test_the_text_used_longest_ago_is_forgotten_first_and_its_end_before_its_beginning() -> None:
    pool = BlockPool(4, SIZE)
    old, young = list(range(9)), list(range(100, 105))
    pool.release(hold(pool, old))
    pool.release(hold(pool, young))
    pool.release(pool.take(2))  # one block was blank, the other has to be forgotten
    assert len(pool.match(old)) == 1
    assert len(pool.match(young)) == 1


def test_against_brute_force_over_random_texts() -> None:
    """Every matched block holds what it should, blocks in use are never handed out, none is lost."""
    draw = random.Random(5)
    pool = BlockPool(12, SIZE)
    written: dict[int, tuple[int, ...]] = {}  # block -> the text up to its end
    held: list[list[int]] = []
    for _ in range(3000):
        if held and draw.random() < 0.5:
            pool.release(held.pop(draw.randrange(len(held))))
            continue
        ids = [draw.randrange(2) for _ in range(draw.randrange(1, 24))]
        matched = pool.match(ids)
        for place, block in enumerate(matched):
            assert written[block] == tuple(ids[: (place + 1) * SIZE])
        taken = pool.take(pool.blocks_for(len(ids)) - len(matched))
        if len(matched) + len(taken) < pool.blocks_for(len(ids)):
            pool.release(matched)
            continue
        assert not set(taken) & {block for blocks in held for block in blocks}
        for place, block in enumerate(taken, start=len(matched)):
            written[block] = tuple(ids[: (place + 1) * SIZE])
        pool.learn(ids, matched + taken)
        held.append(matched + taken)
        assert pool.free == 12 - len({block for blocks in held for block in blocks})
    for blocks in held:
        pool.release(blocks)
    assert pool.free == 12
