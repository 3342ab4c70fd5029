"""The table of recommenders by name."""

from __future__ import annotations

from models.recommend.algorithms.attention import ATTENTION
from models.recommend.algorithms.bert4rec import BERT4REC
from models.recommend.algorithms.content import CONTENT
from models.recommend.algorithms.ease import EASE
from models.recommend.algorithms.factors import BPR, IALS
from models.recommend.algorithms.gru import GRU
from models.recommend.algorithms.item_knn import ITEM_KNN
from models.recommend.algorithms.markov import MARKOV, SUCCESSION
from models.recommend.algorithms.popularity import POPULARITY, TREND
from models.recommend.algorithms.sasrec import SASREC
from models.recommend.algorithms.user_knn import USER_KNN
from models.recommend.interface import Recipe

_NEURAL = (GRU, SASREC, BERT4REC, ATTENTION)
_RECIPES = (POPULARITY, TREND, MARKOV, SUCCESSION, CONTENT, ITEM_KNN, USER_KNN, EASE, IALS, BPR, *_NEURAL)
TABLE: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
BASELINES = ("popularity", "trend", "markov")
"""What a version must not lose to: no history, or one product of it, is enough for these."""

BLEND = "blend"
"""The name of several recommenders with learnt weights; the other names are those of the table."""
