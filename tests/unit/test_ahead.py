import threading

import pytest

from satsynth.runtime.ahead import Ahead


def test_the_next_value_is_begun_before_it_is_asked_for_and_made_once():
    made, begun = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 1:
            begun.set()
        return 10 * number

    ahead = Ahead(make)
    assert ahead.take((0,), (1,)) == 0
    assert begun.wait(5)  # while the caller holds the first
    assert [ahead.take((number,), (number + 1,)) for number in (1, 2)] == [10, 20]
    assert made[:3] == [0, 1, 2]


def test_another_value_than_the_foreseen_one_is_made_at_once():
    ahead = Ahead(lambda first, second: (first, second))
    assert ahead.take((0, "a"), (1, "a")) == (0, "a")
    assert ahead.take((7, "b"), (8, "b")) == (7, "b")
    assert ahead.take((8, "b"), (9, "b")) == (8, "b")


def test_an_error_is_that_of_the_value_asked_for():
    def make(number):
        if number == 1:
            raise ValueError("row 1 cannot be read")
        return number

    ahead = Ahead(make)
    assert ahead.take((0,), (1,)) == 0
    with pytest.raises(ValueError, match="row 1"):
        ahead.take((1,), (2,))
    assert ahead.take((2,), (1,)) == 2
    assert ahead.take((3,), (4,)) == 3  # the one that failed was not wanted
