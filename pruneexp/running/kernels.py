"""Layers that skip masked weights: their weight is kept in rows of (column, value), with 32-bit
columns. They compute what their dense counterparts do, to rounding, and are for running only.

To add one: a class here, an entry in `KERNELS`, and in `has_kernel` which layers it fits.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
INDEX_BYTES = 4
FEW_PIXELS = 128  # of a picture; measured with batches of 16


def rows(weight: Tensor) -> Tensor:
    """A matrix without its zeros."""
    with warnings.catch_warnings():  # torch warns that its CSR tensors are in beta
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        found = weight.detach().to_sparse_csr()
    return torch.sparse_csr_tensor(
        found.crow_indices().int(),
        found.col_indices().int(),
        found.values(),
        found.shape,
        check_invariants=False,  # they come from a dense tensor
    )


def touched(matrix: Tensor) -> int:
    """Bytes of a matrix that a product reads."""
    if matrix.layout != torch.sparse_csr:
        return matrix.numel() * matrix.element_size()
    values = matrix.values()
    return values.numel() * (values.element_size() + INDEX_BYTES) + INDEX_BYTES * (len(matrix) + 1)


def product(
    matrix: Tensor, columns: Tensor, bias: Tensor | None, out: Tensor | None = None
) -> Tensor:
    """matrix @ columns, plus a bias for each row; into `out` where it is given."""
    if columns.shape[1] == 1 and out is None:  # a matrix of one column takes a slower way
        column = columns[:, 0]
        made = matrix @ column if bias is None else torch.addmv(bias, matrix, column)
        return made[:, None]
    if bias is None:
        return torch.mm(matrix, columns, out=out)
    return torch.addmm(bias[:, None].expand(-1, columns.shape[1]), matrix, columns, out=out)


class SparseLinear(nn.Module):
    """A product with the matrix, bias added."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        self.matrix = rows(dense.weight)
        self.bias = None if dense.bias is None else dense.bias.detach()

    @property
    def weight(self) -> Tensor:
        """Dense, for a network that reads it beside the layer."""
        return self.matrix.to_dense()

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs.flatten(0, -2) if inputs.dim() > 1 else inputs[None]
        outputs = product(self.matrix, flat.t(), self.bias).t()
        return outputs.reshape(*inputs.shape[:-1], -1)


class SparsePointwise(nn.Module):
    """A 1x1 convolution is a product of its matrix with every pixel's channels: picture by picture,
    or all in one where they are so small that calls cost more than bringing them together."""

    def __init__(self, dense: nn.Conv2d) -> None:
        super().__init__()
        self.matrix = rows(dense.weight.flatten(1))
        self.bias = None if dense.bias is None else dense.bias.detach()
        self.stride = dense.stride

    @property
    def weight(self) -> Tensor:
        """Dense, for a network that reads it beside the layer."""
        return self.matrix.to_dense()[:, :, None, None]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if self.stride != (1, 1):
            down, across = self.stride
            images = images[:, :, ::down, ::across]
        count, channels, height, width = images.shape
        if count == 1 or height * width < FEW_PIXELS:
            pixels = images.transpose(0, 1).reshape(channels, -1)
            outputs = product(self.matrix, pixels, self.bias)
            return outputs.view(-1, count, height, width).transpose(0, 1)
        outputs = images.new_empty(count, len(self.matrix), height * width)
        for image, output in zip(images.reshape(count, channels, -1), outputs, strict=True):
            product(self.matrix, image, self.bias, out=output)
        return outputs.view(count, -1, height, width)


class SparseLSTM(nn.Module):
    """One layer in one direction. The inputs' share of the gates is one product for all times."""

    def __init__(self, dense: nn.LSTM) -> None:
        super().__init__()
        weights = {name: weight.detach() for name, weight in dense.named_parameters()}
        inputs, recurrent = weights["weight_ih_l0"], weights["weight_hh_l0"]
        self.units = dense.hidden_size
        self.inputs, self.recurrent = rows(inputs), rows(recurrent)
        self.both = rows(torch.cat([inputs, recurrent], 1))
        self.bias = weights["bias_ih_l0"] + weights["bias_hh_l0"] if dense.bias else None

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        times, count, _ = inputs.shape
        if state is None:
            hidden = cell = inputs.new_zeros(self.units, count)
        else:
            hidden, cell = (part[0].t() for part in state)
        if times == 1:
            columns = torch.cat([inputs[0].t(), hidden])
            hidden, cell = _step(product(self.both, columns, self.bias), cell)
            outputs = hidden.t()[None]
        else:
            gates = product(self.inputs, inputs.flatten(0, 1).t(), self.bias)
            gates = gates.view(-1, times, count)
            seen = []
            for time in range(times):
                fed = product(self.recurrent, hidden.contiguous(), None).add_(gates[:, time])
                hidden, cell = _step(fed, cell)
                seen.append(hidden.t())
            outputs = torch.stack(seen)
        return outputs, (hidden.t()[None], cell.t()[None])


def _step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    enter, forget, candidate, leave = gates.chunk(4)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


KERNELS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.Linear: SparseLinear,
    nn.Conv2d: SparsePointwise,
    nn.LSTM: SparseLSTM,
}


def sparse(layer: nn.Module) -> nn.Module | None:
    """The layer without its zeros; None where there is no such kernel."""
    return KERNELS[type(layer)](layer) if has_kernel(layer) else None


def has_kernel(layer: Any) -> bool:
    """Whether there is one for this layer. A class that inherits from one of these may do
    something else, so it has none. Nor has an embedding: looking up rows of a table is many times
    faster than filling them in."""
    if type(layer) is nn.Conv2d:
        return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)
    if type(layer) is nn.LSTM:
        plain = layer.num_layers == 1 and not layer.bidirectional and not layer.batch_first
        return plain and not layer.proj_size
    return type(layer) is nn.Linear
