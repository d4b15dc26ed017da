import pytest
import torch


@pytest.fixture
def one_thread():
    """Sums in one order, whatever the machine: what a small network learns moves with the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
