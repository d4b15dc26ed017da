import pytest
import torch
from torch import nn

from satsynth.diffusion.ema import Ema
from satsynth.runtime.errors import WeightsError


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def shift(net, amount):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(amount)


def test_averages_follow_the_recursion_and_its_warm_up():
    for warmup in (False, True):
        net = model()
        ema = Ema(net, 0.9, warmup)
        wanted = {name: p.detach().clone() for name, p in net.named_parameters()}
        for k in range(120):
            shift(net, 0.1)
            ema.update()
            decay = min(0.9, (1 + k) / (10 + k)) if warmup else 0.9
            for name, p in net.named_parameters():
                wanted[name] = decay * wanted[name] + (1 - decay) * p.detach()
        assert ema.updates == 120
        for name, average in ema.averages().items():
            torch.testing.assert_close(average, wanted[name], rtol=1e-5, atol=1e-5)


def test_only_parameters_are_averaged_and_in_float32():
    net = model().to(torch.bfloat16)
    ema = Ema(net, 0.5, False)
    shift(net, 1.0)
    ema.update()
    state = ema.averages()
    assert set(state) == {name for name, _ in net.named_parameters()}
    assert not any("running" in name for name in state)
    assert all(value.dtype == torch.float32 for value in state.values())


def test_swap_lends_the_averages_and_gives_the_weights_back_bit_for_bit():
    net = model()
    ema = Ema(net, 0.5, False)
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    shift(net, 1.0)
    trained = {name: p.detach().clone() for name, p in net.named_parameters()}
    with pytest.raises(RuntimeError, match="inside"), ema.swap():
        assert all(torch.equal(p, start[name]) for name, p in net.named_parameters())
        raise RuntimeError("inside")
    assert all(torch.equal(p, trained[name]) for name, p in net.named_parameters())
    assert all(torch.equal(value, start[name]) for name, value in ema.averages().items())


def test_a_resumed_average_goes_on_as_an_unbroken_one():
    nets = model(), model()
    whole, first = Ema(nets[0], 0.99, True), Ema(nets[1], 0.99, True)
    for _ in range(5):
        for net, ema in zip(nets, (whole, first)):
            shift(net, 0.1)
            ema.update()
    saved = {name: value.clone() for name, value in first.state_dict().items()}
    second = Ema(nets[1], 0.99, True)
    second.load_state_dict(saved)
    for net, ema in zip(nets, (whole, second)):
        shift(net, 0.1)
        ema.update()
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())


def test_copy_to_another_model_and_foreign_averages():
    net, other = model(), model()
    shift(net, 1.0)
    ema = Ema(net, 0.9, False)
    ema.copy_to(other)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))
    with pytest.raises(WeightsError, match="names differ"):
        ema.load_state_dict({"0.weight": torch.zeros(4, 3)})
    wrong = {**ema.state_dict(), "0.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"0\.weight"):
        ema.load_state_dict(wrong)
