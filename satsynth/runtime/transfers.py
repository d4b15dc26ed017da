"""From the host to a device, without a wait."""

import numpy as np
import torch


def sent(values: np.ndarray | torch.Tensor, device: str | torch.device) -> torch.Tensor:
    """Values of the host as a tensor on `device`.

    An accelerator copies pinned memory while the host goes on; from any other memory the host would wait until all work that it gave
    before is done.
    """
    tensor = torch.as_tensor(values)
    if torch.device(device).type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
