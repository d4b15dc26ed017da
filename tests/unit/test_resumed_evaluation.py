"""An evaluation that was killed goes on behind what it had counted, patch by patch and scene by scene."""

import numpy as np
import pytest
from test_evaluation import SHIFTED, PerPixel, cut, make_scenes, segmenter_of

from satsynth.runtime.errors import BudgetError
from satsynth.segmentation.prediction import count


class Dies(PerPixel):
    """Ends the evaluation in its n-th batch, as a kill would."""

    def __init__(self, last: int):
        super().__init__()
        self.last = last

    def forward(self, images):
        if len(self.batches) == self.last:
            raise KeyboardInterrupt
        return super().forward(images)


@pytest.mark.parametrize("mode", ["patches", "scenes"])
def test_a_killed_evaluation_goes_on(tmp_path, monkeypatch, mode):
    make_scenes(tmp_path)
    store = cut(tmp_path, **SHIFTED)
    options = {"batch": 3, "mode": mode, "overlap": 0.5}
    whole = PerPixel()
    expected = count(segmenter_of(whole), store, **options)
    monkeypatch.setenv("SATSYNTH_CHECKPOINT_SECONDS", "0")
    work, dies = tmp_path / "work", Dies(len(whole.batches) - 1)
    with pytest.raises(KeyboardInterrupt):
        count(segmenter_of(dies), store, **options, work=work)
    rest = PerPixel()
    np.testing.assert_array_equal(count(segmenter_of(rest), store, **options, work=work), expected)
    assert 0 < len(rest.batches) < len(whole.batches)


@pytest.mark.parametrize("mode", ["patches", "scenes"])
def test_a_spent_budget_keeps_what_was_counted(tmp_path, mode):
    make_scenes(tmp_path)
    store = cut(tmp_path, **SHIFTED)
    options = {"batch": 3, "mode": mode, "overlap": 0.5, "work": tmp_path / "work"}
    expected = count(segmenter_of(PerPixel()), store, **options)
    for step in (1, 2):
        with pytest.raises(BudgetError, match=rf"evaluation: the time budget of 0 s ended at step {step} of"):
            count(segmenter_of(PerPixel()), store, **options, wall_seconds=0.0)
    np.testing.assert_array_equal(count(segmenter_of(PerPixel()), store, **options), expected)
