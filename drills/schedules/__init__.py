"""Schedules: drills and campaigns that begin by a cron expression, each a file in the state folder."""

from __future__ import annotations

from typing import Final

from drills.catalogue.yaml_folder import YamlFolder
from drills.schedules.definition import Schedule, wrongs

SCHEDULES: Final = YamlFolder("schedule", Schedule, wrongs)
