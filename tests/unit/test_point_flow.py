"""The PointFlow module of PFSegNet against plain loops."""

import math

import pytest
import torch
from pfsegnet_fixtures import SCALED, UNSCALED
from torch.nn import functional

from satsynth.segmentation.networks.pfsegnet import PointFlow


def module(points, dtype=torch.float64, channels=12):
    """A module in evaluation mode with batch statistics of its own, and maps whose affinities differ."""
    torch.manual_seed(1)
    flow = PointFlow(channels, **points).to(dtype).eval()
    norm = flow.boundary[1]
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(0.5, 2)
    return flow


def maps(height, width, count=2, dtype=torch.float64, channels=12):
    torch.manual_seed(2)
    return torch.randn(count, channels, height, width, dtype=dtype), torch.randn(count, channels, 2 * height, 2 * width, dtype=dtype)


def up(field, height, width):
    return functional.interpolate(field[None, None], (height, width), mode="bilinear", align_corners=True)[0, 0]


def cells(length, count):
    """The ranges of adaptive pooling along one side."""
    return [range(i * length // count, math.ceil((i + 1) * length / count)) for i in range(count)]


def one_by_one(flow, coarse, fine):
    """What the module is to do with one image, coarse (C,h,w) and fine (C,2h,2w), point by point."""
    (_, h, w), m, q = coarse.shape, flow.salient_grid, flow.context_grid
    near = flow.reduce_fine(fine[None])[0]
    near = torch.stack([up(channel, h, w) for channel in near])
    salience = torch.sigmoid(flow.matcher(torch.cat([flow.reduce_coarse(coarse[None]), near[None]], 1)))[0, 0]

    pooled = torch.stack([torch.stack([salience[list(rows)][:, list(columns)].mean() for columns in cells(w, q)]) for rows in cells(h, q)])
    edges = flow.outline(flow.boundary((coarse * (1 - up(pooled, h, w)))[None]))[0, 0]

    ranked = sorted(((y, x) for y in range(h) for x in range(w)), key=lambda at: -edges[at].item())
    chosen = ranked[: min(flow.edge_points, h * w)]
    result = fine.clone()
    sources = [coarse[:, y, x] for y, x in chosen]
    for y, x in chosen:
        block = fine[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))  # bilinear at the centre of a coarse pixel
        result[:, 2 * y, 2 * x] = block + weighted(block, sources)

    peaks, salient = torch.empty(m, m, dtype=fine.dtype), []
    for i, rows in enumerate(cells(h, m)):
        for j, columns in enumerate(cells(w, m)):
            best = max(((y, x) for y in rows for x in columns), key=lambda at: salience[at].item())
            peaks[i, j] = salience[best]
            if best not in salient:
                salient.append(best)
    raised = coarse + up(peaks, h, w) * coarse
    sources = [raised[:, y, x] for y, x in salient]
    for y, x in salient:
        result[:, 2 * y, 2 * x] = fine[:, 2 * y, 2 * x] + weighted(fine[:, 2 * y, 2 * x], sources)
    return result, edges


def weighted(query, sources):
    scores = [float(query @ source) for source in sources]
    weights = [math.exp(score - max(scores)) for score in scores]
    return sum(weight * source for weight, source in zip(weights, sources)) / sum(weights)


@pytest.mark.parametrize(
    ("height", "width", "points"),
    [(8, 8, SCALED), (7, 10, {"salient_grid": 3, "context_grid": 4, "edge_points": 9}), (2, 3, SCALED), (8, 8, UNSCALED)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_module_agrees_with_plain_loops(height, width, points, dtype):
    flow, (coarse, fine) = module(points, dtype), maps(height, width, dtype=dtype)
    with torch.no_grad():
        found, edges = flow(coarse, fine)
        assert found.dtype == edges.dtype == dtype
        for number in range(2):
            wanted, outline = one_by_one(flow, coarse[number], fine[number])
            accuracy = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(found[number], wanted, **accuracy)
            torch.testing.assert_close(edges[number, 0], outline, **accuracy)


@pytest.mark.parametrize("points", [SCALED, UNSCALED])
def test_few_fine_pixels_change_and_all_at_upper_left_corners(points):
    flow, (coarse, fine) = module(points), maps(8, 8)
    changed = (flow(coarse, fine)[0] != fine).any(1)
    most = min(points["edge_points"], 64) + points["salient_grid"] ** 2
    assert ((changed.sum((1, 2)) > 0) & (changed.sum((1, 2)) <= min(most, 64))).all()
    assert changed[:, ::2, ::2].sum() == changed.sum()


def test_a_coarse_pixel_lands_on_the_upper_left_pixel_of_its_block():
    flow = module({"salient_grid": 1, "context_grid": 1, "edge_points": 1}, channels=2)
    for name, parameter in flow.named_parameters():
        if not name.startswith("boundary.1"):
            torch.nn.init.zeros_(parameter)
    with torch.no_grad():  # the edge map is then a multiple of the coarse map's first channel
        flow.boundary[0].weight[0, 0, 1, 1] = flow.outline.weight[0, 0, 1, 1] = 1
        flow.boundary[1].running_mean.zero_()
        coarse, fine = torch.zeros(1, 2, 4, 6, dtype=torch.float64), torch.zeros(1, 2, 8, 12, dtype=torch.float64)
        coarse[0, 0, 2, 3] = 5
        found, _ = flow(coarse, fine)
    assert found[0, 0].nonzero().tolist() == [[4, 6]] and found[0, 0, 4, 6] == pytest.approx(5)
    assert found[0, 0].flatten().nonzero().item() == (2 * 2) * 12 + 2 * 3


def test_salient_points_win_over_boundary_points():
    """With every coarse pixel in both sets, what remains is what the salient points bring."""
    flow, (coarse, fine) = module({"salient_grid": 4, "context_grid": 2, "edge_points": 16}), maps(4, 4)
    both, _ = flow(coarse, fine)
    flow.edge_points = 1
    torch.testing.assert_close(flow(coarse, fine)[0], both, rtol=0, atol=0)


def test_the_unscaled_points_on_small_maps_are_deterministic():
    flow, (coarse, fine) = module(UNSCALED, torch.float32).train(), maps(8, 8, dtype=torch.float32)
    runs = []
    for _ in range(2):
        flow.zero_grad()
        found, edges = flow(coarse, fine)
        (found.square().mean() + edges.square().mean()).backward()
        runs.append([found, edges, *(parameter.grad.clone() for parameter in flow.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*runs))


def test_repeated_points_count_once_in_the_gradient():
    """On a 2 x 2 map, cells of 2 x 2 and of 4 x 4 find the same four points; each passes its gradient to the fine map once."""
    coarse, fine = maps(2, 2)
    gradients = []
    for grid in (2, 4):
        flow, inputs = module({**SCALED, "salient_grid": grid}), fine.clone().requires_grad_()
        torch.nn.init.zeros_(flow.reduce_fine.weight)
        torch.nn.init.zeros_(flow.matcher.weight)  # equal salience: raised alike by both grids
        flow(torch.zeros_like(coarse), inputs)[0].sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(gradients[0], torch.ones_like(fine))
    torch.testing.assert_close(gradients[1], torch.ones_like(fine))


def test_a_permuted_batch_gives_permuted_maps():
    flow, (coarse, fine), order = module(SCALED), maps(8, 8, count=3), torch.tensor([1, 2, 0])
    for one, other in zip(flow(coarse[order], fine[order]), flow(coarse, fine)):
        torch.testing.assert_close(one, other[order], rtol=1e-12, atol=1e-12)
