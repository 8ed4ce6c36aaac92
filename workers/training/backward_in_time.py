"""The way of a gradient back through the steps of an rnn, lstm or gru, in closed form.

The states h_t are the layer's output, so the pre-activations a_t of all steps are one product for each gate, and what
follows from them element by element is done for all steps at once. Only the walk back is a loop, of one product a step:
with U the recurrent weights, and dx short for dL/dx,

    dh_{t-1} = dL/doutput_{t-1} + U^T da_t + what a cell carries past that product

Gates are computed in the layer's precision, as it did; the walk is in double, for gradients vanish below what 32 bits
hold. Slopes come from a_t as s(a) s(-a): of a saturated unit 1 - s is zero in 32 bits, and the slope is not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Run:
    """One direction of a layer over its sequence, first step first; parameters by gate."""

    x: Tensor
    """[time, rows, features]"""
    states: Tensor
    """h_t, [time, rows, units]"""
    w_input: Sequence[Tensor]
    """W, [units, features] each"""
    w_state: Sequence[Tensor]
    """U, [units, units] each"""
    b_input: Sequence[Tensor]
    """[units] each"""
    b_state: Sequence[Tensor]
    """[units] each"""

    def input(self, gate: int) -> Tensor:
        """W x_t + b, [time, rows, units]."""
        return functional.linear(self.x, self.w_input[gate], self.b_input[gate])

    def recurrent(self, gate: int) -> Tensor:
        """U h_{t-1} + b, [time, rows, units]."""
        return functional.linear(self.before, self.w_state[gate], self.b_state[gate])

    def pre_activation(self, gate: int) -> Tensor:
        """a_t, the sum of both."""
        bias = self.b_input[gate] + self.b_state[gate]
        a = torch.addmm(bias, self.x.flatten(0, 1), self.w_input[gate].T)
        return a.addmm_(self.before.flatten(0, 1), self.w_state[gate].T).view_as(self.states)

    @cached_property
    def before(self) -> Tensor:
        """h_{t-1}"""
        return _before(self.states)


def _before(states: Tensor) -> Tensor:
    """Those of the step before, zeros at the first."""
    return functional.pad(states[:-1], (0, 0, 0, 0, 1, 0))


def _sigmoid_slope_(a: Tensor, sigmoid: Tensor) -> Tensor:
    """s'(a) = s(a) s(-a), in place of a."""
    return a.neg_().sigmoid_().mul_(sigmoid)


def _tanh_slope_(a: Tensor) -> Tensor:
    """tanh'(a) = 4 s(2a) s(-2a), for tanh(a) = 2 s(2a) - 1; in place of a."""
    a.mul_(2)
    return _sigmoid_slope_(a, a.sigmoid()).mul_(4)


class Walk:
    """From the last step back to the second: what each sends to the one before through the recurrent weights."""

    def __init__(self, run: Run, gradients: Tensor) -> None:
        """`gradients`: of the output, float64 [time, rows, units]; they become dh_t as the walk goes."""
        self._steps = gradients.unbind()
        self._w_state = torch.cat(list(run.w_state)).double()
        _, rows, units = gradients.shape
        self._sent = gradients.new_empty((rows, len(run.w_state), units))
        self.gates = self._sent.unbind(1)
        """da_t by gate, [rows, units] each, for each step to write."""

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """t, dh_t and dh_{t-1}, to which may be added what goes past the product."""
        for t in range(len(self._steps) - 1, 0, -1):
            yield t, self._steps[t], self._steps[t - 1]
            self._steps[t - 1].addmm_(self._sent.flatten(1), self._w_state)


def _rnn(slopes: Tensor, walk: Walk) -> None:
    """Elman 1990: h_t = f(a_t), so da_t = f'(a_t) dh_t. `slopes`: f'(a_t), [time, rows, units]."""
    (da,), steps = walk.gates, slopes.unbind()
    for t, dh, _ in walk:
        torch.mul(dh, steps[t], out=da)


def _tanh(run: Run, walk: Walk) -> None:
    _rnn(_tanh_slope_(run.pre_activation(0)), walk)


def _relu(run: Run, walk: Walk) -> None:
    """The slope is one where the state is above zero."""
    _rnn(run.states > 0, walk)


def _lstm(run: Run, walk: Walk) -> None:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    With a_i, a_f, a_g, a_o the pre-activations, i, f, o = s(a), g = tanh(a_g), c_t = f c_{t-1} + i g and
    h_t = o tanh(c_t): dc_t = o tanh'(c_t) dh_t + f_{t+1} dc_{t+1}, and from there da_i = s'(a_i) g dc,
    da_f = s'(a_f) c_{t-1} dc, da_g = i tanh'(a_g) dc, da_o = s'(a_o) tanh(c_t) dh.
    """
    a_i, a_f, a_g, a_o = (run.pre_activation(gate) for gate in range(4))
    i, f, g, o = a_i.sigmoid(), a_f.sigmoid(), a_g.tanh(), a_o.sigmoid()
    c = _memory(f, i * g)
    to_output = _sigmoid_slope_(a_o, o).mul_(c.tanh())
    from_memory = (_sigmoid_slope_(a_i, i).mul_(g), _sigmoid_slope_(a_f, f).mul_(_before(c)), _tanh_slope_(a_g).mul_(i))
    _walk_memory(walk, f, _tanh_slope_(c).mul_(o), from_memory, to_output)


def _memory(f: Tensor, written: Tensor) -> Tensor:
    """c_t = f_t c_{t-1} + what is written, [time, rows, units] each; in place of `written`."""
    steps = written.unbind()
    for forget, before, now in zip(f[1:].unbind(), steps[:-1], steps[1:], strict=True):
        now.addcmul_(forget, before)
    return written


def _walk_memory(walk: Walk, f: Tensor, to_memory: Tensor, from_memory: Sequence[Tensor], to_output: Tensor) -> None:
    """The factors of `_lstm`, [time, rows, units] each: dc_t of dh_t; da_i, da_f, da_g of dc_t; da_o of dh_t."""
    *da_memory, da_o = walk.gates
    dc = torch.zeros_like(da_o)
    steps = _by_step(f, to_memory, to_output, *from_memory)
    for t, dh, _ in walk:
        forget, into, output, *factors = steps[t]
        dc.addcmul_(dh, into)
        torch.mul(dh, output, out=da_o)
        for da, factor in zip(da_memory, factors, strict=True):
            torch.mul(dc, factor, out=da)
        dc.mul_(forget)


def _by_step(*factors: Tensor) -> list[tuple[Tensor, ...]]:
    return list(zip(*(factor.unbind() for factor in factors), strict=True))


def _gru(run: Run, walk: Walk) -> None:
    """Cho et al. 2014, with the reset gate after the recurrent product, as in torch.

    With r, z = s(a_r), s(a_z), q the recurrent part of n, a_n = W x + b + r q, n = tanh(a_n) and
    h_t = (1 - z) n + z h_{t-1}: da_n = (1 - z) tanh'(a_n) dh, and U takes back da_r = s'(a_r) q da_n,
    da_z = s'(a_z) (h_{t-1} - n) dh and r da_n, while z dh goes past it.
    """
    a_r, a_z, q = run.pre_activation(0), run.pre_activation(1), run.recurrent(2)
    r, z = a_r.sigmoid(), a_z.sigmoid()
    a_n = run.input(2).addcmul_(r, q)
    to_update = _sigmoid_slope_(a_z.clone(), z).mul_(run.before - a_n.tanh())
    new = _tanh_slope_(a_n).mul_(a_z.neg_().sigmoid_())
    factors = (_sigmoid_slope_(a_r, r).mul_(q).mul_(new), to_update, r.mul_(new))
    steps = _by_step(z, *factors)
    for t, dh, dh_before in walk:
        keep, *to_gates = steps[t]
        for da, factor in zip(walk.gates, to_gates, strict=True):
            torch.mul(dh, factor, out=da)
        dh_before.addcmul_(dh, keep)


CELLS: dict[str, Callable[[Run, Walk], None]] = {"RNN_TANH": _tanh, "RNN_RELU": _relu, "LSTM": _lstm, "GRU": _gru}
