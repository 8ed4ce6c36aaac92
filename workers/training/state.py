"""What a part of a training is made of between two steps: `part.state()`, and `part.restore(state)` in another process.

A state is tensors and plain values, as `torch.load(weights_only=True)` takes them. Its tensors are those in use, not
copies: it is good until the next step.
"""

from typing import Any

State = dict[str, Any]
