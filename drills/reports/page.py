"""The report as one self-contained page: no script, nothing loaded from anywhere, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from drills.evidence.logbook import kept
from drills.reports.charts import latency_bars, latency_chart, timeline
from drills.reports.report import Story, clock, number
from schemas.records import DrillEvent, Latency

_DETAILED = 20  # newest first; the older ones are rows of the table
_STYLE = """
:root{--bg:#f7f7f5;--card:#fff;--ink:#1b1d21;--soft:#5f6570;--line:#e2e3e0;--good:#1a7f4b;--bad:#c2362b;--warn:#96690a;
--dot:#2f6fb5;--fault:#c2362b22}
@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1c1f25;--ink:#e9eaec;--soft:#9aa1ad;--line:#30343c;
--good:#4cc38a;--bad:#f0776c;--warn:#e0b04a;--dot:#74aef0;--fault:#f0776c2b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:0;overflow-wrap:anywhere}
h3{font-size:13px;color:var(--soft);margin:22px 0 6px;font-weight:600}
p{margin:4px 0}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px 24px;margin:20px 0}
.head{display:flex;gap:14px;align-items:center;flex-wrap:wrap}
.badge{border-radius:6px;padding:2px 12px;font-weight:700;color:var(--card);background:var(--soft)}
.badge.passed{background:var(--good)}.badge.failed{background:var(--bad)}
.badge.unknown,.badge.aborted,.badge.rejected{background:var(--warn)}
.passed{color:var(--good)}.failed{color:var(--bad)}.unknown,.aborted,.rejected{color:var(--warn)}
.badge.passed,.badge.failed,.badge.unknown,.badge.aborted,.badge.rejected{color:var(--card)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(88px,1fr));gap:12px 8px;margin-top:16px}
.figures div span{display:block;font-size:12px;color:var(--soft)}
.figures div b{font-size:18px;white-space:nowrap;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}th{font-size:12px;color:var(--soft);text-align:left;font-weight:600}
td,th{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}a{color:inherit}
ul{list-style:none;padding:0;margin:0}li{padding:3px 0 3px 24px;position:relative}
li::before{position:absolute;left:2px;font-weight:700}
li.passed::before{content:"\\2714"}li.failed::before{content:"\\2718"}li.unknown::before{content:"?"}
li>span{color:var(--ink)}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:12px;font-family:inherit}
svg text.strong{fill:var(--ink)}svg text.bad{fill:var(--bad)}
.grid{stroke:var(--line)}.fault{fill:var(--fault)}.rail{stroke:var(--line);stroke-width:3}
.dot{stroke:var(--dot);stroke-width:4;stroke-linecap:round;fill:none;opacity:.55}
.dot.lost{stroke:var(--bad);opacity:1}.stop{fill:var(--dot)}
.stop.injected,.stop.aborted,.stop.rejected{fill:var(--bad)}.stop.recovered{fill:var(--good)}
.bar{fill:var(--dot)}.b0{opacity:1}.b1{opacity:.7}.b2{opacity:.4}
"""


def page(told: Sequence[Story]) -> str:
    """The page for these drills, the newest first."""
    newest = list(reversed(told))
    table = _overview(newest) if len(newest) > 1 else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Drills · Standfast</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>Drills</h1>"
        f'<p class="soft">{_summary(told)}</p>{table}{"".join(map(_card, newest[:_DETAILED]))}</main></body></html>\n'
    )


def _summary(told: Sequence[Story]) -> str:
    counts = {verdict: sum(1 for story in told if story.verdict == verdict) for verdict in
              ("passed", "failed", "unknown", "aborted", "rejected", "running")}  # fmt: skip
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return escape(f"{len(told)} from {clock(told[0].events[0].at)} to {clock(told[-1].last.at)}: {said}")


def _overview(told: Iterable[Story]) -> str:
    head = "<tr><th>when</th><th>drill</th><th>verdict</th>" + "".join(
        f'<th class="n">{name}</th>' for name in ("RTO ms", "lost", "doubled", "out of order", "score")
    )
    return f'<div class="card wide"><table>{head}</tr>{"".join(map(_row, told))}</table></div>'


def _row(story: Story) -> str:
    last = story.last
    figures = (last.rto_ms, last.lost, last.duplicated, last.out_of_order, last.score)
    cells = "".join(f'<td class="n">{number(value)}</td>' for value in figures)
    link = f'<a href="#{escape(story.drill_id)}">{escape(story.drill_id)}</a>'
    return (
        f"<tr><td>{clock(story.events[0].at)}</td><td>{escape(last.drill)}<br><span class=soft>{link}</span></td>"
        f'<td class="{escape(story.verdict)}">{escape(story.verdict)}</td>{cells}</tr>'
    )


def _card(story: Story) -> str:
    last = story.last
    name, verdict = escape(story.drill_id), escape(story.verdict)
    head = f'<span class="badge {verdict}">{verdict}</span><h2>{escape(last.drill)}</h2><span class=soft>{name}</span>'
    parts = [
        f'<section class="card" id="{name}"><div class="head">{head}</div>',
        f"<p class=soft>{clock(story.events[0].at)}{_struck(story)}</p>",
        f"<p>{escape(last.reason)}</p>" if last.reason else "",
        _figures(last),
        f"<h3>Phases</h3>{timeline(story.events)}" if _took_ms(story) else "",
        _latency(story),
        _findings(last),
        _settings(story),
        "</section>",
    ]
    return "".join(parts)


def _took_ms(story: Story) -> int:
    return story.events[-1].at - story.events[0].at


def _struck(story: Story) -> str:
    target = story.last.target or next((event.target for event in story.events if event.target), None)
    if not target:
        return ""
    return escape(" · " + ", ".join(f"{key} {value}" for key, value in target.items()))


def _figures(last: DrillEvent) -> str:
    checks = [("injected", last.injected), ("held", last.held), ("undone", last.undone)]
    shown = [f"<div><span>{name}</span><b class={check}>{check}</b></div>" for name, check in checks if check]
    if last.lost is not None:
        figures = {
            "RTO": f"{number(last.rto_ms)} ms" if last.rto_ms is not None else "none",
            "lost": number(last.lost),
            "doubled": number(last.duplicated),
            "out of order": number(last.out_of_order),
            "score": number(last.score),
        }
        shown += [f"<div><span>{name}</span><b>{value}</b></div>" for name, value in figures.items()]
    return f'<div class="figures">{"".join(shown)}</div>' if shown else ""


def _latency(story: Story) -> str:
    last = story.last
    windows = (("before", last.latency_before), ("during", last.latency_during), ("after", last.latency_after))
    if not any(seen for _, seen in windows):
        return ""
    history = kept(story.drill_id)
    chart = latency_chart(history) if history and history.requests else latency_bars(last)
    rows = "".join(_latency_row(name, seen or Latency(count=0)) for name, seen in windows)
    head = "<tr><th></th>" + "".join(f'<th class="n">{name}</th>' for name in ("answers", "p50", "p99", "max"))
    return f'<h3>Latency</h3>{chart}<div class="wide"><table>{head}</tr>{rows}</table></div>'


def _latency_row(name: str, seen: Latency) -> str:
    times = (f"{number(ms)} ms" if ms is not None else "-" for ms in (seen.p50_ms, seen.p99_ms, seen.max_ms))
    cells = "".join(f'<td class="n">{time}</td>' for time in times)
    return f'<tr><td>{name}</td><td class="n">{seen.count:,}</td>{cells}</tr>'


def _findings(last: DrillEvent) -> str:
    if not last.findings:
        return ""
    items = []
    for text in last.findings:
        check, _, said = text.partition(": ")
        items.append(f'<li class="{escape(check)}"><span>{escape(said or text)}</span></li>')
    return f"<h3>Findings</h3><ul>{''.join(items)}</ul>"


def _settings(story: Story) -> str:
    params = next((event.params for event in story.events if event.params), None)
    if not params:
        return ""
    seed = next((event.seed for event in story.events if event.seed is not None), None)
    shown = {**params, "seed": seed} if seed is not None else params
    listed = " · ".join(f"{key} {value}" for key, value in shown.items() if value != "")
    return f"<h3>Run with</h3><p class=soft>{escape(listed)}</p>"
