"""What the drill's own load asks for: words and customers of the sample shop."""

from __future__ import annotations

QUERIES = (
    "white hanging heart",
    "lunch bag",
    "christmas decoration",
    "red retrospot",
    "cake stand",
    "alarm clock",
    "jumbo bag",
    "paper chain kit",
    "vintage tea set",
    "wooden picture frame",
    "hot water bottle",
    "garden lantern",
)
USERS = ("17841", "14911", "14096", "12748", "14606", "15311", "14646", "13089", "13263", "14298", "15039", "14156")
