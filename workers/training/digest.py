"""The weights of a network as one number, to tell at a glance that two trainings came to the same."""

import hashlib

import torch
from torch import nn


def weights_sha256(network: nn.Module) -> str:
    """Over name, type, shape and bytes of each tensor, in the order of `state_dict`; however it lies in memory."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
