"""Campaigns: several drills in series, in parallel or by chance, as one file with a seed and an error budget."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from drills.campaigns.definition import Campaign, wrongs
from drills.catalogue.yaml_folder import YamlFolder

CAMPAIGNS: Final = YamlFolder("campaign", Campaign, wrongs, Path(__file__).parent)
