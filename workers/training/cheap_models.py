"""Models that need no training loop: from x float64 [rows, features] and y to predictions for these and other rows.

Of a regression y is float64 [rows, outputs] and a prediction likewise; of a classification y is int64 [rows, places],
one class for each place, and a prediction the logits [rows, places, classes].
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Model = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Of x, y, the x of other rows, and the number of classes: predictions for the rows themselves, and for the others."""

RIDGES = 10.0 ** torch.arange(-6, 5, dtype=torch.float64)
"""Penalties to choose from, as shares of the rows."""
ITERATIONS = 20
"""Of L-BFGS."""
NEIGHBOURS = 10


def ridge(x: Tensor, y: Tensor, others: Tensor, classes: int = 0) -> tuple[Tensor, Tensor]:
    """Linear, with the penalty whose error on rows left out, (y - Hy) / (1 - h), is least (Allen 1974)."""
    mean = y.mean(0)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    along = u.T @ (y - mean)
    shares = s.square() / (s.square() + RIDGES[:, None] * len(x))
    leverages = shares @ u.square().T + 1 / len(x)
    errors = [
        ((y - mean - u @ (share[:, None] * along)) / (1 - leverage).clamp(min=1e-9)[:, None]).square().mean()
        for share, leverage in zip(shares, leverages, strict=True)
    ]
    best = shares[int(torch.stack(errors).argmin())]
    weights = vt.T @ ((best / s.clamp(min=1e-150))[:, None] * along)
    return mean + x @ weights, mean + others @ weights


def softmax_regression(x: Tensor, y: Tensor, others: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Minimises the mean cross entropy plus |W|^2 / (2 rows) by L-BFGS; each place has weights of its own."""
    places = y.shape[1]
    weights = torch.zeros(x.shape[1], places * classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(places * classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def logits(rows: Tensor) -> Tensor:
        return (rows @ weights + bias).view(len(rows), places, classes)

    def objective() -> Tensor:
        optimizer.zero_grad()
        penalty = weights.square().sum() / (2 * len(x))
        value = functional.cross_entropy(logits(x).flatten(0, 1), y.flatten()) + penalty
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return logits(x), logits(others)


def neighbours_mean(x: Tensor, y: Tensor, others: Tensor, classes: int = 0) -> tuple[Tensor, Tensor]:
    """The mean of the nearest rows; a row is no neighbour of itself."""
    of_own, of_others = nearest(x, x, leave_out_itself=True), nearest(others, x)
    return _total(y, of_own) / of_own.shape[1], _total(y, of_others) / of_others.shape[1]


def neighbours_shares(x: Tensor, y: Tensor, others: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Logs of the shares of the classes among the nearest rows and one more, which is of all classes alike."""
    one_hot = functional.one_hot(y, classes).double()
    own = _total(one_hot, nearest(x, x, leave_out_itself=True))
    counts = (own, _total(one_hot, nearest(others, x)))
    first, second = ((count + 1 / classes) / (count.sum(-1, keepdim=True) + 1) for count in counts)
    return first.log(), second.log()


def nearest(rows: Tensor, among: Tensor, leave_out_itself: bool = False) -> Tensor:
    """Indices of the nearest rows `among` those, int64 [rows, neighbours]."""
    distances = torch.cdist(rows, among)
    if leave_out_itself:
        distances.fill_diagonal_(torch.inf)
    count = min(NEIGHBOURS, len(among) - int(leave_out_itself))
    return distances.topk(count, largest=False).indices


def _total(targets: Tensor, chosen: Tensor) -> Tensor:
    """The sum over the chosen rows, one neighbour at a time, for there may be many targets."""
    total = torch.zeros((len(chosen), *targets.shape[1:]), dtype=torch.float64)
    for rows in chosen.unbind(1):
        total += targets[rows]
    return total
