"""Pairs on their way to a training: held or read ahead, they are the same."""

import numpy as np
import pytest
import torch
from generator_fixtures import write_store

from satsynth import supply
from satsynth.pairs import open_view
from satsynth.supply import Supply

COUNT, SIDE = 10, 8
SET = 4 * COUNT * SIDE**2  # bytes


def order(seed, first, count):
    return (np.arange(first, first + count) * 3 + seed) % (COUNT - 2)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return open_view([write_store(tmp_path_factory.mktemp("store"), SIDE, count=COUNT)])


@pytest.mark.parametrize(("free", "held"), [(3 * SET + 3, True), (3 * SET, False), (1000, False)])
def test_the_set_is_held_where_a_third_of_the_free_memory_takes_it(view, monkeypatch, caplog, free, held):
    """A device that only says how much memory it has: what is moved is decided before anything is allocated."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    allocated, empty = [], torch.empty

    def watched(shape, **options):
        allocated.append((tuple(shape), str(options["device"])))
        return empty(shape, dtype=options["dtype"])

    monkeypatch.setattr(supply.torch, "empty", watched)
    with caplog.at_level("INFO"):
        made = Supply([view], "cuda:0", order)
    assert (made.resident is not None) == held == bool(allocated)
    assert ("are held on cuda:0" if held else "stay memory-mapped") in caplog.text
    if held:
        assert {device for _, device in allocated} == {"cuda:0"}
        assert np.array_equal(made.resident[0][0].numpy(), view.gather(range(COUNT))[0])


def test_held_and_read_ahead_give_the_same_pairs(view, monkeypatch):
    kept = np.array([9, 1, 2, 7, 4, 5, 6, 3])
    made = {}
    for free in (10**9, 0):
        monkeypatch.setattr(supply, "free_bytes", lambda device, free=free: free)
        made[free] = Supply([view, view], "cpu", order, kept, mend=lambda mask: 4 - mask)
    for draw in [(0, 0, 4), (0, 4, 4), (0, 8, 4), (0, 20, 4), (1, 24, 4), (1, 28, 3)]:  # in order, then as after a resume
        held, mapped = made[10**9].take(*draw), made[0].take(*draw)
        images, masks = view.gather(kept[order(*draw)])
        for pair in (*held, *mapped):
            assert np.array_equal(pair[0].numpy(), images) and np.array_equal(pair[1].numpy(), 4 - masks)


def test_the_next_draw_is_read_before_it_is_asked_for(view, monkeypatch):
    monkeypatch.setattr(supply, "free_bytes", lambda device: 0)
    asked = []
    made = Supply([view], "cpu", lambda *draw: (asked.append(draw), order(*draw))[1])
    for first in (0, 4, 8, 2):
        made.take(7, first, 4)
    made._ahead._coming.result()
    assert asked == [(7, first, 4) for first in (0, 4, 8, 12, 2, 6)]  # each once; the one behind 8 was not wanted
