"""Drawings of what happened, for the report of a drill and for the console: the same functions make both.

Each function takes plain values and returns a `markupsafe.Markup` of an HTML `figure` with an inline SVG. Every text is
escaped, since ids and names come from topics that any client may write to. Nothing is styled inline and nothing needs a
script, so a page may forbid both; the colours are those of `stylesheet()`, which a page includes once.

    lanes      rows of coloured stretches by owner: partitions and who served them, workers and what they served
    plot       points or lines over time, with shaded stretches and limits
    timeline   the phases of something, in order

Times are seconds on one axis whose zero the caller chooses (a fault, or now). A colour is never the only sign: owners
are named in their stretches and in the legend, gaps are hatched, limits are labelled, and a table stands behind each
figure.
"""

from drills.reports.drawing.bars import BarGroup, bars
from drills.reports.drawing.frame import Frame, Shade
from drills.reports.drawing.lanes import Lane, Stretch, lanes
from drills.reports.drawing.page_parts import Table, stylesheet, table_of
from drills.reports.drawing.plot import LimitLine, Series, plot
from drills.reports.drawing.thinning import thinned
from drills.reports.drawing.timeline import PhaseStop, timeline

__all__ = [
    "BarGroup",
    "Frame",
    "Lane",
    "LimitLine",
    "PhaseStop",
    "Series",
    "Shade",
    "Stretch",
    "Table",
    "bars",
    "lanes",
    "plot",
    "stylesheet",
    "table_of",
    "thinned",
    "timeline",
]
