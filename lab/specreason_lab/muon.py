"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

PyTorch has one too, but it works matrix by matrix; on a CPU one stack of all matrices of a shape is several
times faster.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """For matrices only. `lr` is the size of an update whose singular values are all one."""

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})
        self._dtype = dtype  # of the orthogonalisation, which bears a coarse one

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update all matrices."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for matrix in group["params"]:
                by_shape.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in by_shape.items():
                updates = []
                for matrix in matrices:
                    state = self.state[matrix]
                    average = state.setdefault("average", torch.zeros_like(matrix))
                    average.lerp_(matrix.grad, 1 - group["momentum"])
                    updates.append(matrix.grad.lerp(average, group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, update in zip(
                    matrices, orthogonal(torch.stack(updates), self._dtype), strict=True
                ):
                    matrix.add_(update, alpha=-group["lr"] * scale)


def orthogonal(x: Tensor, dtype: torch.dtype = torch.float32, rounds: int = 5) -> Tensor:
    """Matrices [n, rows, columns] with the same singular vectors, values near one (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.mT).float()
