"""The recommendation service."""

from __future__ import annotations

from pydantic import Field

from standfast.core.sections import ServiceSettings
from standfast.core.services.spec import ServiceSpec

_PROFILES = "the most disk a host's users' profiles may take; when it is full, answers are `degraded`"


class RecommendSettings(ServiceSettings):
    """The recommendation service."""

    batch: int = Field(256, ge=1, le=4096)
    max_history: int = Field(1000, ge=1)
    profiles_mib: int = Field(1024, ge=1, description=_PROFILES)


SPEC = ServiceSpec(
    name="recommend",
    about="recommendation",
    key="user_id",
    settings=RecommendSettings,
    request="schemas.records:RecommendRequest",
    query="consumers.requests.queries:recommend",
    model="models.recommend.model:load_recommender",
    training="models.recommend.training:train",
    asked="drills.evidence.shop_words:recommendations",
    rehearsal=b'{"user_id": "nobody", "k": 10}',
    rank=2,
    histories=True,
)
