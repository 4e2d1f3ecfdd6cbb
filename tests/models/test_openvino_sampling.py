"""Tokens are drawn as transformers draws them, and guesses come from the text itself."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from models.engines.base import GenerationOptions
from models.engines.sampling import Picker, PromptLookup

LOGITS = np.array([2.0, 1.5, 1.5, 0.3, -1.0, -4.0, 0.9], np.float32)


def expected_shares(options: GenerationOptions) -> np.ndarray:
    """The probabilities that transformers' own warpers leave."""
    scores = TemperatureLogitsWarper(options.temperature)(torch.zeros(1, 1), torch.tensor(LOGITS)[None])
    if options.top_k:
        scores = TopKLogitsWarper(options.top_k)(torch.zeros(1, 1), scores)
    if options.top_p < 1:
        scores = TopPLogitsWarper(options.top_p)(torch.zeros(1, 1), scores)
    return scores.softmax(-1)[0].numpy()


@pytest.mark.parametrize(
    "options",
    [
        GenerationOptions(temperature=1.0, seed=1),
        GenerationOptions(temperature=0.5, top_p=0.8, seed=1),
        GenerationOptions(temperature=1.5, top_k=4, seed=1),
        GenerationOptions(temperature=1.2, top_k=5, top_p=0.6, seed=1),
        GenerationOptions(temperature=1.0, top_p=0.01, seed=1),
    ],
)
def test_shares_are_those_of_transformers(options: GenerationOptions) -> None:
    pick = Picker(options)
    counts = Counter(pick(LOGITS, [0]) for _ in range(20_000))
    found = np.array([counts[token] for token in range(len(LOGITS))]) / 20_000
    np.testing.assert_allclose(found, expected_shares(options), atol=0.015)
    assert set(np.flatnonzero(found)) <= set(np.flatnonzero(expected_shares(options)))


def test_a_seed_repeats_the_draws_and_none_does_not() -> None:
    def draws(seed: int | None) -> list[int]:
        pick = Picker(GenerationOptions(temperature=1.0, seed=seed))
        return [pick(LOGITS, [0]) for _ in range(50)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)
    assert draws(None) != draws(None)


def test_greedy_takes_the_likeliest_allowed_token() -> None:
    def forbid_first(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert ids.tolist() == [[7, 8]]
        return scores.index_fill(1, torch.tensor([0]), float("-inf"))

    assert Picker(GenerationOptions())(LOGITS, [7, 8]) == 0
    assert Picker(GenerationOptions(logits_processor=forbid_first))(LOGITS, [7, 8]) == 1
    assert LOGITS[0] == 2.0, "the engine's own numbers are not written to"


def brute_force_guess(ids: list[int], length: int) -> list[int]:
    """The place with the longest same text before it, the latest of equals; at least two ids have to be the same."""
    best = (1, 0)
    for place in range(2, len(ids)):
        same = 0
        while same < min(place, 24) and ids[place - 1 - same] == ids[-1 - same]:
            same += 1
        best = max(best, (same, place))
    return ids[best[1] : best[1] + length] if best[0] >= 2 else []


def test_guesses_go_on_where_most_of_the_text_before_is_the_same() -> None:
    draw = random.Random(0)
    for _ in range(200):
        ids = [draw.randrange(5) for _ in range(draw.randrange(1, 40))]
        lookup = PromptLookup(ids)
        for _ in range(5):
            assert lookup.guess(ids, 100) == brute_force_guess(ids, 8)
            ids.append(draw.randrange(5))


def test_of_two_alike_places_the_one_with_more_of_the_same_is_taken() -> None:
    towns = [1, 50, 8, 9, 100, 101, 2, 60, 8, 9, 200, 201]
    assert PromptLookup([*towns, 50, 8, 9]).guess([*towns, 50, 8, 9], 2) == [100, 101]
    assert PromptLookup([*towns, 60, 8, 9]).guess([*towns, 60, 8, 9], 2) == [200, 201]
    assert PromptLookup([*towns, 70, 8, 9]).guess([*towns, 70, 8, 9], 2) == [200, 201]


def test_guesses_never_exceed_the_room() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 1, 2, 3])
    assert lookup.guess([1, 2, 3, 4, 5, 6, 1, 2, 3], 2) == [4, 5]
    assert lookup.guess([1, 2, 3, 4, 5, 6, 1, 2, 3], 0) == []


def test_guesses_get_longer_when_right_and_short_again_when_wrong() -> None:
    ids = [*range(50), 0, 1, 2]
    lookup = PromptLookup(ids)
    assert lookup.guess(ids, 100) == list(range(3, 11))
    lookup.learn(8, 8)
    assert lookup.guess(ids, 100) == list(range(3, 19))
    lookup.learn(16, 3)
    assert lookup.guess(ids, 100) == list(range(3, 11))


def test_after_wrong_guesses_more_has_to_be_the_same() -> None:
    alike = {length: [*range(50), 99, *range(20, 20 + length)] for length in (2, 3, 5, 8)}
    lookups = {length: PromptLookup(ids) for length, ids in alike.items()}

    def guessing() -> set[int]:
        return {length for length, ids in alike.items() if lookups[length].guess(ids, 100)}

    assert guessing() == {2, 3, 5, 8}
    for expected in ({5, 8}, {8}, {8}, {8}):
        for lookup in lookups.values():
            lookup.learn(8, 0)
        assert guessing() == expected
    for lookup in lookups.values():
        lookup.learn(8, 5)
    assert guessing() == {2, 3, 5, 8}
