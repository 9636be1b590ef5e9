"""Effective rank of a weight matrix's change, and how much of it lies in directions that were weak in the base."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DIRECTIONS = 16
"""Singular directions called dominant, r below; at most a quarter of a matrix's shorter side."""

_RESOLVED = 1e-7
"""Singular values below this share of the largest are rounding: they are roots of eigenvalues in double precision."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """In which directions a matrix moved."""

    effective_rank: float
    """Exponential of the entropy of the normalised singular values of the change, from 1 to the shorter side (Roy and
    Vetterli 2007, "The effective rank", definition 1)."""
    new_direction_share: float
    """0..1, see `spectrum`."""


def effective_rank(singular_values: Tensor) -> float:
    """Return exp(-sum p log p), where p are the singular values ``(n,)`` divided by their sum."""
    shares = singular_values / singular_values.sum()
    return float(torch.special.entr(shares).sum().exp())


def spectrum(change: Tensor, base: Tensor) -> Spectrum | None:
    """Describe a matrix's change ``(m, n)`` beside the base's matrix; None if nothing moved.

    Of the change D take its best approximation D_r of rank r, of the base the r strongest left and right singular
    vectors U and V. The new directions' share is ``1 - ||U' D_r V||^2 / ||D_r||^2``: 0 if the change only rescales or
    mixes what the base already does most, about ``1 - r^2 / (m n)`` if it is unrelated to it. It is the normalised
    projection of the LoRA paper (Hu et al. 2021, section 7.3) with the roles of base and change exchanged, a graded
    form of counting "intruder dimensions" (Shuttleworth et al. 2024, arXiv 2410.21228).
    """
    if change.shape[0] < change.shape[1]:
        change, base = change.T, base.T
    change = change.double()
    eigenvalues, vectors = torch.linalg.eigh(change.T @ change)
    singular_values = eigenvalues.clamp(min=0).sqrt()
    if not singular_values[-1]:
        return None
    singular_values = singular_values.where(singular_values > _RESOLVED * singular_values[-1], 0)
    count = dominant_count(change.shape)
    left, right = _dominant_directions(base, count)
    strongest = vectors[:, -count:]
    inside = (left.double().T @ (change @ strongest)) @ (strongest.T @ right.double())
    share = 1 - inside.square().sum() / singular_values[-count:].square().sum()
    return Spectrum(effective_rank(singular_values), float(share.clamp(0, 1)))


def dominant_count(shape: tuple[int, ...]) -> int:
    """Return r for a matrix: `DIRECTIONS`, or a quarter of the shorter side if that is less."""
    return max(1, min(DIRECTIONS, min(shape) // 4))


def _dominant_directions(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` strongest left and right singular vectors, by seeded subspace iteration.

    Eight rounds with twice the directions wanted (Halko, Martinsson and Tropp 2011, algorithm 4.4) cost a quarter of
    the full decomposition.
    """
    matrix = matrix.float()
    generator = torch.Generator().manual_seed(0)
    width = min(2 * count, matrix.shape[1])
    subspace = torch.randn(matrix.shape[1], width, generator=generator).to(matrix.device)
    for _ in range(8):
        subspace = torch.linalg.qr(matrix.T @ (matrix @ subspace)).Q
    left, _, right = torch.linalg.svd(matrix @ subspace, full_matrices=False)
    return left[:, :count], subspace @ right[:count].T
