"""Compiled networks: what they are tried out with, and what happens where nothing compiles."""

import pytest
import torch
from generator_fixtures import SAMPLER, SCHEDULE, config, train, write_store

from satsynth.diffusion import compilation, ddpm, upscaler
from satsynth.diffusion.denoiser import build_denoiser
from satsynth.diffusion.sampling import sample_shard
from satsynth.pairs import Store
from satsynth.randomness import torch_stream

CFG = {
    "prediction": "edm",
    "schedule": SCHEDULE,
    "edm": {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2, "prior": None},
    "min_snr": None,
    "network": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [], "dropout": 0.0, "unshuffle": 1, "norm_groups": 4},
}


def denoiser_of(cfg):
    torch.manual_seed(0)
    return build_denoiser(cfg, 6, 8).eval()


def signature(values):
    """All that a compiled network is specialised for."""
    return [None if value is None else (tuple(value.shape), value.stride(), value.dtype) for value in values]


@pytest.fixture
def compiled(monkeypatch):
    """Stands in for the compiler: every call of a compiled network, and the modes asked for."""
    calls, modes = [], []

    def stand_in(forward, mode=None, dynamic=None):
        modes.append((mode, dynamic))

        def run(*values):
            calls.append(signature(values))
            return forward(*values)

        return run

    monkeypatch.setattr(torch, "compile", stand_in)
    return calls, modes


@pytest.mark.parametrize("prior", [None, "measured"])
@pytest.mark.parametrize("noise", [None, {"max": 0.5}], ids=["clean condition", "noisy condition"])
@pytest.mark.parametrize("method", ["dpmpp_2m", "ancestral", "heun", "unipc"])
def test_a_network_is_tried_out_with_what_sampling_gives_it(prior, noise, method, tmp_path, compiled):
    """Another signature would be compiled again, in the middle of a shard."""
    calls, modes = compiled
    edm = {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2, "prior": prior}
    stores = {size: write_store(tmp_path / str(size), size) for size in (16, 8)}
    sampler = {**SAMPLER, "method": method, "variance": "fixed_small", "steps": 3}
    level = None if noise is None else 0.1
    low = None
    for module, kind, changes, added in (
        (ddpm, "ddpm", {}, {}),
        (upscaler, "upscaler", {"condition_noise": noise}, {"condition_level": level}),
    ):
        previews = {"count": 2, "sampler": {**SAMPLER, **added}}
        card = train(module, stores, config(kind, edm=edm, training={"steps": 1}, previews=previews, **changes), tmp_path / kind)
        denoiser = module.load(tmp_path / kind / "weights.safetensors", card, "cpu")
        calls.clear()
        compilation.compile_sampling(denoiser, 3)
        assert len(calls) == compilation.WARMING
        low = module.draw(denoiser, {**sampler, **added}, 3, torch_stream(0, kind, device="cpu"), low)
        assert len(calls) >= compilation.WARMING + 3
        assert all(call == calls[0] for call in calls)
    assert modes == [("reduce-overhead", False)] * 2


@pytest.mark.parametrize("fails_at", ["compiling", "running"])
def test_where_nothing_compiles_one_line_says_so_and_the_samples_are_the_same(fails_at, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("no C++ compiler found\nand a long trace")

    denoiser, x = denoiser_of(CFG), torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        before = denoiser.denoise(x, 0.7)
    monkeypatch.setattr(torch, "compile", broken if fails_at == "compiling" else lambda forward, **_: broken)
    compilation.compile_sampling(denoiser, 2)
    compilation.compile_training(denoiser, lambda: denoiser.sample_losses(x, x, torch.ones(2)).mean())
    with torch.no_grad():
        assert torch.equal(denoiser.denoise(x, 0.7), before)
    said = [record.getMessage() for record in caplog.records]
    line = "torch.compile does not work here (no C++ compiler found): the network computes without it. `compile: false` does not try."
    assert said == [line] * 2
    assert all(parameter.grad is None for parameter in denoiser.parameters())


def test_trying_out_a_training_leaves_no_gradient(compiled):
    calls, modes = compiled
    denoiser, x = denoiser_of(CFG).train(), torch.randn(2, 6, 8, 8)
    compilation.compile_training(denoiser, lambda: denoiser.sample_losses(x, x, torch.ones(2)).mean())
    assert len(calls) == 1 and modes == [(None, False)]
    assert all(parameter.grad is None for parameter in denoiser.parameters())
    with compilation.uncompiled(denoiser.network), torch.no_grad():
        denoiser.denoise(x[:1], 1.0)
    assert len(calls) == 1
    denoiser.sample_losses(x, x, torch.ones(2))
    assert len(calls) == 2


def test_a_lack_of_memory_is_no_lack_of_a_compiler(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda forward, **_: full)
    with pytest.raises(torch.OutOfMemoryError):
        compilation.compile_sampling(denoiser_of(CFG), 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_shards_hold_nearly_the_same_pairs(tmp_path, caplog):
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
    assert "torch.compile" not in caplog.text and not torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]
