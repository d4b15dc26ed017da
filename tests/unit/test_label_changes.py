"""Labels that change between two samplings: planted changes of known share, ignored pixels, and sets that do not compare."""

import numpy as np
import pytest

from satsynth.metrics.label_changes import changed_shares
from satsynth.pairs import IGNORE, StoreWriter
from satsynth.runtime.errors import MeasureError, StoreError
from satsynth.segmentation import label_changes
from satsynth.segmentation.label_changes import compare

SIZE, CLASSES = 16, 4


def masks_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, CLASSES, (count, SIZE, SIZE), dtype=np.uint8)


def changed(masks, pixels):
    """The same masks with another class in the first `pixels` pixels of each."""
    flat = masks.reshape(len(masks), -1).copy()
    flat[:, :pixels] = (flat[:, :pixels] + 1) % CLASSES
    return flat.reshape(masks.shape)


def store(folder, masks, first=0, seed=0, **facts):
    with StoreWriter(folder, size=SIZE, classes=CLASSES, facts=facts) as writer:
        for row, mask in enumerate(masks):
            writer.append(np.zeros((SIZE, SIZE, 3), np.uint8), mask, seed=seed, index=first + row)
    return folder


def test_a_planted_change_is_found_at_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(label_changes, "BLOCK_PIXELS", 3 * SIZE**2)  # blocks that cut both sets elsewhere than their shards
    masks = masks_of(20)
    other = np.concatenate([changed(masks[:10], 64), changed(masks[10:], 128)])
    measured = [store(tmp_path / "a0", other[:7]), store(tmp_path / "a1", other[7:], first=7)]
    baseline = [store(tmp_path / "b0", masks[:12]), store(tmp_path / "b1", masks[12:], first=12)]
    found = compare(measured, baseline)
    assert found["count"] == 20 and found["changed"] == pytest.approx(0.375)
    assert found["changed_se"] == pytest.approx(np.std([0.25] * 10 + [0.5] * 10, ddof=1) / 20**0.5)
    assert found["unrelated"] == pytest.approx(1 - 1 / CLASSES, abs=0.03), "chance, of masks drawn at random"
    assert compare(baseline, baseline)["changed"] == 0


def test_pairs_are_matched_by_absolute_index(tmp_path):
    masks = masks_of(12)
    measured = [store(tmp_path / "late", changed(masks, 32)[8:], first=8), store(tmp_path / "early", changed(masks, 32)[:4])]
    found = compare(measured, [store(tmp_path / "whole", masks)])
    assert found["count"] == 8 and found["changed"] == pytest.approx(32 / SIZE**2)


def test_ignored_pixels_count_for_nobody(tmp_path):
    masks = masks_of(3)
    other = changed(masks, 64)
    masks[:, :2], other[:, -2:] = IGNORE, IGNORE  # 32 of the changed pixels, and 32 of the others
    other[2] = IGNORE
    shares = changed_shares(other, masks)
    np.testing.assert_allclose(shares[:2], 32 / (SIZE**2 - 64))
    assert np.isnan(shares[2])
    found = compare([store(tmp_path / "a", other)], [store(tmp_path / "b", masks)])
    assert found["count"] == 2 and found["changed"] == pytest.approx(32 / (SIZE**2 - 64)) and found["changed_se"] == pytest.approx(0)
    blank = compare([store(tmp_path / "blank", np.full_like(masks, IGNORE))], [tmp_path / "b"])
    assert blank == {"count": 0, "changed": None, "changed_se": None, "unrelated": None}


def test_sets_that_share_no_noise_are_refused(tmp_path):
    masks = masks_of(4)
    base = [store(tmp_path / "base", masks)]
    with pytest.raises(StoreError, match="no pair of the same seed and index"):
        compare([store(tmp_path / "later", masks, first=4)], base)
    with pytest.raises(StoreError, match="no pair of the same seed and index"):
        compare([store(tmp_path / "seed", masks, seed=1)], base)
    with StoreWriter(tmp_path / "real", size=SIZE, classes=CLASSES, facts={}) as writer:
        writer.append(np.zeros((SIZE, SIZE, 3), np.uint8), masks[0], scene="town")
    with pytest.raises(StoreError, match="does not say the seed"):
        compare([tmp_path / "real"], base)
    with StoreWriter(tmp_path / "classes", size=SIZE, classes=CLASSES + 1, facts={}) as writer:
        writer.append(np.zeros((SIZE, SIZE, 3), np.uint8), masks[0], seed=0, index=0)
    with pytest.raises(StoreError, match="do not compare"):
        compare([tmp_path / "classes"], base)


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(MeasureError, match="do not compare"):
        changed_shares(masks_of(2), masks_of(3))
