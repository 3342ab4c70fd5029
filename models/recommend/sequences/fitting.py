"""Trains a network of sequences with AdamW, and stops when it no longer predicts better what was held back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.kernels.ragged import Ragged
from models.recommend.histories import Pairs
from models.recommend.interface import Arrays, Constants, TrainingData
from models.recommend.judge import Judge
from models.recommend.sequences.loss import loss_of
from models.recommend.sequences.network import SequenceNetwork
from models.recommend.sequences.padded import Padded, Sequences
from models.recommend.sequences.scorer import Build, NetworkScorer

MOST_STEPS = 1_600_000  # of a product to the next in one fit: some 90 s of one idle core, 200 s of a busy one
LEAST_EPOCHS, _MOST_EPOCHS = 3, 60
_PATIENCE = 0.2  # share of the epochs after which a network that was not better meanwhile is left
_PLACES, _BATCHES = 2_048, 16  # places of a batch; fewer in a small shop, so that an epoch has some batches
_PADDED = 1.1  # places for each step, as windows overlap and are padded
_AVERAGED = 0.99  # of the averaged weights stays at each batch: what they predict varies less from epoch to epoch
_WARM_UP = 0.05  # share of the batches in which the step size rises
_HELD_BACK, _CELLS = 500, 10_000_000  # users whose last product is held back, and their scores that are held at once
_CLIP = 1.0  # the largest norm of a gradient


def fit_network(name: str, build: Build, data: TrainingData, constants: Constants) -> Arrays:
    """The weights, float32, of the epoch that predicted best the last products of users from whom they were held back.

    The same data, seed, device and number of threads give the same weights.
    """
    pairs = data.pairs()
    sequences, judge = held_back(pairs, data.items_met)
    with _drawn_by(data.seed, data.device):
        network = build(data.items_met, constants).to(data.device)
        training = _Training(network, sequences, constants, np.random.default_rng(data.seed), data.device)
        if data.progress:
            data.progress.phase(f"training {name}, at most {training.epochs} epochs", training.epochs)
        best = training.run(judge, data.progress.step if data.progress else _not_shown)
    return {name: array.detach().cpu().contiguous() for name, array in best.items()}


def held_back(pairs: Pairs, items: int) -> tuple[Sequences, Judge]:
    """What is trained on, and a judge by the last products of at most half the users, evenly chosen."""
    _, starts, counts = np.unique(pairs.user, return_index=True, return_counts=True)
    able = np.flatnonzero(counts > 2)
    most = max(1, min(len(able) // 2, _HELD_BACK, _CELLS // max(1, items)))
    chosen = able[:: max(1, -(-len(able) // most))] if len(able) > 1 else able[:0]
    counts[chosen] -= 1
    histories = [pairs.item[starts[row] : starts[row] + counts[row]][::-1].tolist() for row in chosen]
    wanted = [[int(pairs.item[starts[row] + counts[row]])] for row in chosen]
    history, kind = Ragged.of(histories), np.zeros(len(chosen), np.int64)
    return Sequences(pairs.item, starts, counts), Judge(chosen, kind, history, history, Ragged.of(wanted), items)


@dataclass
class _Training:
    """One network's training. `epochs`: at most so many, fewer in a large shop, so that all take about as long."""

    network: SequenceNetwork
    sequences: Sequences
    constants: Constants
    draw: np.random.Generator
    device: torch.device

    @property
    def epochs(self) -> int:
        return min(_MOST_EPOCHS, max(LEAST_EPOCHS, MOST_STEPS // max(1, self.sequences.steps)))

    def run(self, judge: Judge, done: Callable[[int], None]) -> dict[str, torch.Tensor]:
        """The averaged weights of the best epoch; of the last one where nobody's product was held back."""
        average = get_ema_multi_avg_fn(_AVERAGED)  # type: ignore[no-untyped-call]
        averaged = AveragedModel(self.network, multi_avg_fn=average)
        steps, best, quality, since = self._steps(), dict(self.network.state_dict()), -1.0, 0
        for _ in range(self.epochs):
            self._epoch(steps, averaged)
            done(1)
            reached, since = self._quality(cast("SequenceNetwork", averaged.module), judge), since + 1
            if reached > quality or not len(judge):
                quality, since = reached, 0
                best = {name: array.clone() for name, array in averaged.module.state_dict().items()}
            if since > _PATIENCE * self.epochs:
                break
        return best

    def _steps(self) -> Callable[[torch.Tensor], None]:
        """A function that takes one step down a loss, with a step size that rises first and falls to nothing."""
        total = max(1.0, self.epochs * self.sequences.steps * _PADDED / self._places)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.constants["learning_rate"], weight_decay=self.constants["decay"]
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _size(step / total))

        def step(loss: torch.Tensor) -> None:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
            optimizer.step()
            schedule.step()

        return step

    @property
    def _places(self) -> int:
        return max(128, min(_PLACES, self.sequences.steps // _BATCHES))

    def _epoch(self, step: Callable[[torch.Tensor], None], averaged: AveragedModel) -> None:
        self.network.train()
        for batch in self._batches():
            asked = self.network.asked(batch)
            if len(asked.wanted):
                step(loss_of(self.network, asked, self.constants["smoothing"]))
                averaged.update_parameters(self.network)

    def _batches(self) -> Iterator[Padded]:
        for batch in self.sequences.batches(int(self.constants["longest"]), self._places, self.draw):
            yield batch.to(self.device)

    def _quality(self, network: SequenceNetwork, judge: Judge) -> float:
        if not len(judge):
            return 0.0
        network.eval()
        scorer = NetworkScorer(network, network.logits, int(self.constants["window"]), network.items)
        return float(judge.ndcg(judge.scores(scorer)).mean())


def _size(done: float) -> float:
    """The step size at this share of the training, of the largest: it rises in a line, then falls as a cosine."""
    if done < _WARM_UP:
        return done / _WARM_UP + 1e-3
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - _WARM_UP) / (1 - _WARM_UP))))


def _not_shown(count: int) -> None:
    del count


@contextmanager
def _drawn_by(seed: int, device: torch.device) -> Iterator[None]:
    """What torch draws meanwhile comes from the seed; afterwards its generators go on as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
