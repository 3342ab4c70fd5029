"""Copies the topic `profiles` into the store of this host."""

from __future__ import annotations

import structlog

from consumers.following.follower import Following, TopicCopier
from consumers.profiles.store import Change, Store, opened
from schemas.records import Profile
from standfast.core import telemetry
from standfast.core.consumed import Consumed
from standfast.core.errors import SchemaError
from standfast.core.services.recommend import RecommendSettings

_log = structlog.get_logger()


class Follower(TopicCopier[Change]):
    """Keeps the host's store of profiles up to date."""

    name = "profiles"

    def _opened(self, identity: str) -> Store:
        return opened(self._stores, identity, self._settings.section(RecommendSettings).profiles_mib << 20)

    def _change(self, partition: int, message: Consumed) -> Change | None:
        value = message.value()
        if value is None:
            return Change(partition, (message.key() or b"").decode("utf-8", "replace"), None)
        try:
            profile, _ = self._codec.decode(value, Profile)
        except Exception as error:  # noqa: BLE001 - of a registry or a library too: one record must not end the follower
            reason = str(error) if isinstance(error, SchemaError) else f"{type(error).__name__}: {error}"
            _log.warning("a profile cannot be read", partition=partition, offset=message.offset(), error=reason[:300])
            return None
        return Change(partition, profile.user_id, profile)

    def _measured(self, store: Following[Change], *, complete: bool) -> None:
        telemetry.PROFILES_COMPLETE.set(complete)
        telemetry.PROFILES_BYTES.set(store.path.stat().st_size)

    def _remedy(self, reason: str) -> str:
        return "; make room on the disk, or raise recommend.profiles_mib" if "full" in reason else ""
