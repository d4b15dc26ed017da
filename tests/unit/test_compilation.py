"""Compiled networks: what they are tried out with, and what happens where nothing compiles."""

import pytest
import torch
from generator_fixtures import SAMPLER, SCHEDULE, config, train, write_store

from satsynth.diffusion import compilation, ddpm, upscaler
from satsynth.diffusion.denoiser import build_denoiser
from satsynth.diffusion.sampling import sample_shard
from satsynth.pairs import Store

CFG = {
    "prediction": "edm",
    "schedule": SCHEDULE,
    "edm": {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2, "prior": None},
    "min_snr": None,
    "network": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [], "dropout": 0.0, "unshuffle": 1, "norm_groups": 4},
}
MEASURED = {**CFG, "edm": {**CFG["edm"], "prior": "measured"}}


def denoiser_of(cfg, condition_channels=0, condition_levels=False):
    torch.manual_seed(0)
    made = build_denoiser(cfg, 6, 8, condition_channels, condition_levels)
    if made.prior is not None:
        made.prior.measure([[torch.randn(4, 6, 8, 8), *([torch.randn(4, 6, 4, 4)] if condition_channels else [])]])
    return made.eval()


def signature(values):
    return [None if value is None else (tuple(value.shape), value.dtype) for value in values]


@pytest.fixture
def compiled(monkeypatch):
    """Stands in for the compiler: every call of a compiled network, and the modes asked for."""
    calls, modes = [], []

    def stand_in(forward, mode=None):
        modes.append(mode)

        def run(*values):
            calls.append(signature(values))
            return forward(*values)

        return run

    monkeypatch.setattr(torch, "compile", stand_in)
    return calls, modes


@pytest.mark.parametrize(
    ("cfg", "condition_channels", "condition_levels"),
    [(CFG, 0, False), (MEASURED, 0, False), (CFG, 6, False), (CFG, 6, True), (MEASURED, 6, True)],
    ids=["plain", "prior", "condition", "condition with a level", "prior and condition"],
)
def test_a_network_is_tried_out_with_what_sampling_gives_it(cfg, condition_channels, condition_levels, compiled):
    calls, modes = compiled
    denoiser = denoiser_of(cfg, condition_channels, condition_levels)
    compilation.compile_sampling(denoiser, 3)
    assert modes == ["reduce-overhead"] and len(calls) == compilation.WARMING
    x, level = torch.randn(3, 6, 8, 8), torch.zeros(3) if condition_levels else None
    condition = torch.randn(3, condition_channels, 8, 8) if condition_channels else None
    with torch.no_grad():
        denoiser.denoise(x, 0.7, condition, level)
    assert calls[-1] == calls[0]  # another signature would be compiled again, in the middle of a shard


@pytest.mark.parametrize("fails_at", ["compiling", "running"])
def test_where_nothing_compiles_one_line_says_so_and_the_samples_are_the_same(fails_at, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("no C++ compiler found\nand a long trace")

    denoiser, x = denoiser_of(CFG), torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        before = denoiser.denoise(x, 0.7)
    monkeypatch.setattr(torch, "compile", broken if fails_at == "compiling" else lambda forward, mode=None: broken)
    compilation.compile_sampling(denoiser, 2)
    compilation.compile_training(denoiser, lambda: denoiser.sample_losses(x, x, torch.ones(2)).mean())
    with torch.no_grad():
        assert torch.equal(denoiser.denoise(x, 0.7), before)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["torch.compile does not work here (no C++ compiler found); the network computes without it."] * 2
    assert all(parameter.grad is None for parameter in denoiser.parameters())


def test_trying_out_a_training_leaves_no_gradient(compiled):
    calls, modes = compiled
    denoiser, x = denoiser_of(CFG).train(), torch.randn(2, 6, 8, 8)
    compilation.compile_training(denoiser, lambda: denoiser.sample_losses(x, x, torch.ones(2)).mean())
    assert len(calls) == 1 and modes == [None]
    assert all(parameter.grad is None for parameter in denoiser.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_shards_hold_nearly_the_same_pairs(tmp_path):
    stores = {size: write_store(tmp_path / str(size), size) for size in (16, 8)}
    stages = []
    for module, cfg in ((ddpm, config()), (upscaler, config("upscaler"))):
        card = train(module, stores, cfg, tmp_path / cfg["kind"])
        stages.append({"weights": tmp_path / cfg["kind"] / "weights.safetensors", "card": card, "sampler": SAMPLER})
    masks = []
    for compile in (False, True):
        folder = tmp_path / f"made-{compile}"
        sample_shard(stages, folder=folder, seed=0, block=4, first=0, last=8, device="cuda", classes=5, compile=compile)
        masks.append(Store.open(folder).masks)
    assert (masks[0] == masks[1]).mean() > 0.99
