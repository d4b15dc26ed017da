"""One training on several devices of a host: what its ranks share, and what they agree on (DistributedDataParallel).

Every rank draws the whole of a step from (seed, step) and computes an equal part of it; gradients are averaged, and so the ranks' weights
stay equal. Rank 0 alone writes. In a job of one process every function here is free and changes nothing.
"""

import contextlib
import datetime
import logging
from collections.abc import Callable, Iterator

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from satsynth.runtime import ranks
from satsynth.runtime.errors import ConfigError
from satsynth.runtime.task import Task

log = logging.getLogger(__name__)
PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Others wait while rank 0 draws previews or writes a shard; a rank that died is noticed by other means (satsynth.runtime.ranks).
PATIENCE = datetime.timedelta(hours=6)


@contextlib.contextmanager
def joined(task: Task) -> Iterator[None]:
    """Inside the block this process is one rank of the job, and the device "cuda" is its own.

    Args:
        task: with two devices or more, as many processes are started; else the block runs as it is.

    Raises:
        DeviceError: the devices are slices of GPUs (see `satsynth.runtime.ranks`).
    """
    if task.gpus < 2:
        yield
        return
    ended = False
    try:
        with ranks.started(task) as rank:
            if task.device == "cuda":
                torch.cuda.set_device(rank.number)
            # Tensors of a device go through NCCL, flags through gloo, which waits for no device.
            backend = "cpu:gloo,cuda:nccl" if task.device == "cuda" else "gloo"
            where = {"init_method": rank.meeting.as_uri(), "rank": rank.number, "world_size": rank.count}
            distributed.init_process_group(backend, **where, timeout=PATIENCE)
            log.info("%d processes on %s, by %s", rank.count, task.device, backend)
            yield
            ended = True
    finally:
        # After an error NCCL may wait for ever for what was under way; the process ends soon, and everything with it.
        if distributed.is_initialized() and (ended or task.device == "cpu"):
            distributed.destroy_process_group()


def count() -> int:
    """Number of ranks."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def number() -> int:
    """Number of this rank, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def first() -> bool:
    """Whether this rank is the one that writes."""
    return number() == 0


def agreed(*flags: bool) -> tuple[bool, ...]:
    """Rank 0's flags, on every rank: what the clock says must be said once. Rank 0 itself does not wait for the others."""
    if count() == 1:
        return flags
    told = torch.tensor(flags, dtype=torch.uint8)
    distributed.broadcast(told, 0)
    return tuple(bool(flag) for flag in told.tolist())


def anywhere(flag: bool) -> bool:
    """Whether a flag is set on any rank; every rank waits here until all have come."""
    if count() == 1:
        return flag
    found = torch.tensor([flag], dtype=torch.uint8)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found.item())


def mean(value: torch.Tensor) -> torch.Tensor:
    """The ranks' mean of a tensor without a graph; on a device, without a wait.

    A sum over a part that is divided by the ranks' mean of what it is divided by alone has the whole batch's value for its own mean over
    the ranks: so losses that divide by labelled pixels are those of one device, however the labels are spread.
    """
    if count() == 1:
        return value
    total = value.detach().to(torch.float32, copy=True)
    distributed.all_reduce(total)
    return total / count()


def largest(value: torch.Tensor) -> torch.Tensor:
    """The largest of all ranks' values of a tensor without a graph, element by element."""
    if count() == 1:
        return value
    found = value.detach().clone()
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found


def joint(values: torch.Tensor) -> torch.Tensor:
    """The values (n,) of all ranks, one behind the other (n times ranks,), without a graph."""
    if count() == 1:
        return values
    found = [torch.empty_like(values) for _ in range(count())]
    distributed.all_gather(found, values.detach().contiguous())
    return torch.cat(found)


class _Loss(nn.Module):
    """A loss as a module around its model, which is what DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module, loss_of: Callable[[int, int], torch.Tensor]):
        super().__init__()
        self.model, self.loss_of = model, loss_of

    def forward(self, step: int, part: int) -> torch.Tensor:
        return self.loss_of(step, part)


def shared(model: nn.Module, loss_of: Callable[[int, int], torch.Tensor]) -> Callable[[int, int], torch.Tensor]:
    """A loss whose backward pass averages the gradients of all ranks.

    Args:
        model: on this rank's device, in training mode; rank 0's weights are put into every rank's.
        loss_of: (step, part) -> scalar with a graph.

    Returns:
        What takes the place of `loss_of`: it has a context `no_sync()` (see DistributedDataParallel) unless there is one rank.
    """
    if count() == 1:
        return loss_of
    return DistributedDataParallel(_Loss(model, loss_of), find_unused_parameters=_has_unreached(model, loss_of))


def _has_unreached(model: nn.Module, loss_of: Callable[[int, int], torch.Tensor]) -> bool:
    """Whether some parameter has no part in the loss, as an encoder's last stages in PSPNet; the model is left as it was."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else []
    with torch.random.fork_rng(devices=devices):
        loss_of(0, 0).backward()
    unreached = any(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])
    return unreached


def alone(loss: Callable[[int, int], torch.Tensor]) -> contextlib.AbstractContextManager:
    """A context in which a `shared` loss adds up gradients of this rank only: all parts of a step but the last."""
    return loss.no_sync() if isinstance(loss, DistributedDataParallel) else contextlib.nullcontext()


def synchronise_statistics(model: nn.Module) -> nn.Module:
    """The model with batch normalisations that see the batch of all ranks, as one device would.

    Their names and buffers stay, so weights fit as before. On CPUs, for which PyTorch has none, `Synchronised` takes the place of
    `SyncBatchNorm`.

    Raises:
        ConfigError: the model has layers that do more than to normalise (as timm's with an activation in them).
    """
    if count() == 1:
        return model
    found = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    other = sorted({type(module).__name__ for module in found if type(module) not in PLAIN})
    if other:
        cause = f"its encoder has layers ({', '.join(other)}) whose statistics several devices cannot share."
        raise ConfigError("gpu", cause, "Use gpu: 1, or another encoder, such as resnet50.")
    if next(model.parameters()).device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in found:
        module.__class__ = Synchronised  # the same parameters and buffers under another forward pass
    return model


class _Sum(torch.autograd.Function):
    """The ranks' sum of a tensor; so is the gradient's, since every rank's loss depends on it."""

    @staticmethod
    def forward(context: object, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class Synchronised(_BatchNorm):
    """Batch normalisation of (N,C,...) over the equal parts of a batch on all ranks, by mean and variance in float32."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"{input.dim()} dimensions are too few for a batch of channels")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The normalised input, of its dtype."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        axes = [axis for axis in range(values.dim()) if axis != 1]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        centre = _Sum.apply(values.mean(axes)) / count()
        spread = _Sum.apply((values - centre.view(shape)).square().mean(axes)) / count()
        if self.track_running_stats:
            self._follow(centre.detach(), spread.detach(), count() * values.numel() // values.shape[1])
        normal = (values - centre.view(shape)) * (spread + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _follow(self, centre: torch.Tensor, spread: torch.Tensor, size: int) -> None:
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(centre, share)
        self.running_var.lerp_(spread * (size / (size - 1)), share)
