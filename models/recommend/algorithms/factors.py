"""Matrix factorisation R = U Vᵀ: iALS (Hu, Koren and Volinsky 2008) and BPR (Rendle et al. 2009), fitted by `implicit`.

Only V is kept. A customer's row of U is computed from the history when a request is answered, so that the latest
purchase counts and a customer whom training did not know is served as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.kernels.device import to_device
from models.kernels.ragged import Ragged
from models.recommend.interface import HALF_LIFE_DAYS, LATEST, Arrays, Constants, Ladder, Recipe, TrainingData, faded

_FACTORS = (32.0, 64.0, 128.0)


def fold_in(factors: Tensor, gram: Tensor, history: Ragged, weights: Tensor, regularisation: float) -> Tensor:
    """[histories, width] rows of U: the least squares solution for each history, whose products weigh `weights`.

    A product that is not in the history counts as 0 with weight 1, one that is counts as 1 with its weight.
    """
    width = factors.shape[1]
    vectors = factors[to_device(history.values, factors.device)]
    right = torch.zeros(len(history.lengths), width, device=factors.device)
    rows = to_device(history.rows, factors.device)
    right.index_add_(0, rows, vectors * weights[:, None])
    left = gram.repeat(len(history.lengths), 1, 1)
    ends = history.lengths.cumsum().tolist()
    for row, (end, count) in enumerate(zip(ends, history.lengths.tolist(), strict=True)):
        own, own_weights = vectors[end - count : end], weights[end - count : end]
        left[row].addmm_((own * (own_weights - 1)[:, None]).T, own)
    left.diagonal(dim1=1, dim2=2).add_(regularisation)
    solved: Tensor = torch.linalg.solve(left, right)
    return solved


class _LeastSquares:
    """iALS: the history's row of U by least squares, times Vᵀ."""

    def __init__(self, arrays: Arrays, constants: Constants, items: int) -> None:
        del items
        self._factors, self._constants = arrays["factors"], constants
        self._gram = self._factors.T @ self._factors

    def scores(self, history: Ragged) -> Tensor:
        weights = to_device(faded(history, self._constants["latest"]), self._factors.device) * self._constants["alpha"]
        rows = fold_in(self._factors, self._gram, history, weights.clamp_(min=1.0), self._constants["regularisation"])
        return rows @ self._factors.T


class _Mean:
    """BPR: the mean of the history's rows of V, times Vᵀ, plus the products' biases."""

    def __init__(self, arrays: Arrays, constants: Constants, items: int) -> None:
        del items
        self._factors, self._bias, self._constants = arrays["factors"], arrays["bias"], constants

    def scores(self, history: Ragged) -> Tensor:
        weights = to_device(faded(history, self._constants["latest"]), self._factors.device)
        rows = to_device(history.rows, self._factors.device)
        vectors = self._factors[to_device(history.values, self._factors.device)] * weights[:, None]
        sums = torch.zeros(len(history.lengths), self._factors.shape[1], device=self._factors.device)
        sums.index_add_(0, rows, vectors)
        total = torch.zeros(len(history.lengths), device=self._factors.device).index_add_(0, rows, weights)
        return (sums / total.clamp_(min=1e-9)[:, None]) @ self._factors.T + self._bias


def _user_items(data: TrainingData, constants: Constants) -> Any:
    from scipy.sparse import csr_matrix

    pairs = data.pairs(constants.get("fade_days", 0.0), constants["power"])
    return csr_matrix((pairs.weight, (pairs.user, pairs.item)), shape=(pairs.users, pairs.items))


def _fit_ials(data: TrainingData, constants: Constants) -> Arrays:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # beside implicit's own threads BLAS's make it ten times slower
        model = AlternatingLeastSquares(
            factors=int(constants["factors"]),
            regularization=constants["regularisation"],
            alpha=constants["alpha"],
            iterations=int(constants["iterations"]),
            num_threads=torch.get_num_threads(),
            random_state=data.seed,
        )
        model.fit(_user_items(data, constants), show_progress=False)
    return {"factors": torch.from_numpy(model.item_factors).contiguous()}


def _fit_bpr(data: TrainingData, constants: Constants) -> Arrays:
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(
            factors=int(constants["factors"]),
            learning_rate=constants["learning_rate"],
            regularization=constants["regularisation"],
            iterations=int(constants["iterations"]),
            num_threads=1,  # its threads share rows without a lock: with more than one no run is like another
            random_state=data.seed,
        )
        model.fit(_user_items(data, constants), show_progress=False)
    factors = torch.from_numpy(model.item_factors)
    return {"factors": factors[:, :-1].contiguous(), "bias": factors[:, -1].contiguous()}


IALS = Recipe(
    "ials",
    "matrix factorisation by weighted least squares (iALS)",
    _fit_ials,
    _LeastSquares,
    (
        Ladder("alpha", (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0), 3.0),
        Ladder("regularisation", (1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0), 20.0),
        Ladder("factors", _FACTORS, 64.0),
        Ladder("fade_days", HALF_LIFE_DAYS, 0.0),
        Ladder("power", (0.0, 1.0), 0.0),
        Ladder("iterations", (15.0,), 15.0),
        Ladder("latest", LATEST, 0.0, fitted=False),
    ),
    quick=False,
)

BPR = Recipe(
    "bpr",
    "matrix factorisation by pairwise ranking (BPR)",
    _fit_bpr,
    _Mean,
    (
        Ladder("learning_rate", (0.01, 0.03, 0.1), 0.03),
        Ladder("regularisation", (0.01,), 0.01),
        Ladder("factors", (64.0,), 64.0),
        Ladder("iterations", (100.0,), 100.0),
        Ladder("power", (0.0,), 0.0),
        Ladder("latest", LATEST, 0.0, fitted=False),
    ),
    quick=False,
)
