"""The two charts of the overview, as SVG: what ended, and how long calls waited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

from orchestrator.server.pages.formatting import span
from orchestrator.server.view_models import Bucket

_WIDE: Final = 520.0
_HIGH: Final = 150.0
_LEFT: Final = 48.0
_TOP: Final = 8.0
_BASE: Final = _HIGH - 20
KINDS: Final = ("completed", "failed", "crashed", "cancelled")  # from the bottom


def nice_top(most: float) -> float:
    """A round number that is not below the largest value.

    >>> nice_top(0), nice_top(7), nice_top(1234)
    (1.0, 8.0, 1500.0)
    """
    if most <= 0:
        return 1.0
    size = 1.0
    while size * 10 < most:
        size *= 10
    while size > most:
        size /= 10
    return next(step * size for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if step * size >= most)


def ends_chart(buckets: Sequence[Bucket], seconds: float) -> Markup:
    """Bars: how many runs ended in each bucket, by how they ended.

    Args:
        buckets: oldest first.
        seconds: length of a bucket.
    """
    totals = [sum(getattr(bucket, kind) for kind in KINDS) for bucket in buckets]
    top = nice_top(max(totals, default=0))
    bad = sum(bucket.failed + bucket.crashed for bucket in buckets)
    title = f"Runs that ended per {span(seconds)}: {sum(totals):,} in all, {bad:,} of them failed or crashed"
    parts = _frame(title, f"{top:,.0f}" if top >= 1 else f"{top:g}", buckets, seconds)
    step = (_WIDE - _LEFT) / max(len(buckets), 1)
    for at, (bucket, total) in enumerate(zip(buckets, totals, strict=True)):
        x, y = _LEFT + at * step, _BASE
        parts.append(f"<g><title>{escape(_title(bucket, total))}</title>{_hit(x, step)}")
        for kind in KINDS:
            number = getattr(bucket, kind)
            if number:
                high = max((_BASE - _TOP) * number / top, 1.5)
                y -= high
                parts.append(
                    f'<rect class="fill tone-{kind}" x="{x + step * 0.1:.1f}" y="{y:.1f}" '
                    f'width="{step * 0.8:.1f}" height="{high:.1f}"/>'
                )
        parts.append("</g>")
    return Markup("".join([*parts, "</svg>"]))


def wait_chart(buckets: Sequence[Bucket], seconds: float) -> Markup:
    """Lines: how long calls waited until they started, on average and at most, in each bucket.

    Args:
        buckets: oldest first.
        seconds: length of a bucket.
    """
    longest = max((bucket.longest_wait_seconds or 0.0 for bucket in buckets), default=0.0)
    top = nice_top(longest)
    parts = _frame(f"Time from submission to start; the longest was {span(longest)}", span(top), buckets, seconds)
    step = (_WIDE - _LEFT) / max(len(buckets), 1)
    for kind, values in (
        ("high", [bucket.longest_wait_seconds for bucket in buckets]),
        ("mean", [bucket.wait_seconds for bucket in buckets]),
    ):
        for path in _paths(values, step, top):
            dot = " dot" if "L" not in path else ""
            parts.append(f'<path class="{kind}{dot}" d="{path}"/>')
    for at, bucket in enumerate(buckets):
        if bucket.wait_seconds is not None:
            title = (
                f"{_clock(bucket)}: {span(bucket.wait_seconds)} on average, {span(bucket.longest_wait_seconds)} at most"
            )
            parts.append(f"<g><title>{escape(title)}</title>{_hit(_LEFT + at * step, step)}</g>")
    return Markup("".join([*parts, "</svg>"]))


def _paths(values: Sequence[float | None], step: float, top: float) -> list[str]:
    """A line for every stretch without gaps; a single value is a dot."""
    paths: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            paths.append([])
            continue
        x, y = _LEFT + (at + 0.5) * step, _BASE - (_BASE - _TOP) * min(value / top, 1.0)
        paths[-1].append(f"{x:.1f} {y:.1f}")
    return [f"M{' L'.join(points)}" + ("h0.1" if len(points) == 1 else "") for points in paths if points]


def _frame(title: str, top: str, buckets: Sequence[Bucket], seconds: float) -> list[str]:
    parts = [
        f'<svg viewBox="0 0 {_WIDE:.0f} {_HIGH:.0f}" role="img" aria-label="{escape(title)}">',
        f'<text x="{_LEFT - 6:.0f}" y="{_TOP + 8:.0f}" text-anchor="end">{escape(top)}</text>',
        f'<text x="{_LEFT - 6:.0f}" y="{_BASE:.0f}" text-anchor="end">0</text>',
    ]
    for y in (_TOP, (_TOP + _BASE) / 2, _BASE):
        parts.append(f'<line class="rule" x1="{_LEFT:.0f}" x2="{_WIDE:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    if buckets:
        whole = span(seconds * len(buckets))
        parts.append(f'<text x="{_LEFT:.0f}" y="{_HIGH - 5:.0f}">{escape(whole)} ago</text>')
        parts.append(f'<text x="{_WIDE:.0f}" y="{_HIGH - 5:.0f}" text-anchor="end">now</text>')
    return parts


def _hit(x: float, step: float) -> str:
    return f'<rect class="hit" x="{x:.1f}" y="{_TOP:.0f}" width="{step:.1f}" height="{_BASE - _TOP:.0f}"/>'


def _clock(bucket: Bucket) -> str:
    return f"{bucket.moment:%H:%M:%S} UTC"


def _title(bucket: Bucket, total: int) -> str:
    title = ", ".join(f"{number:,} {kind}" for kind in KINDS if (number := getattr(bucket, kind)))
    return f"{_clock(bucket)}: {title or 'nothing ended'}" + (f" ({total:,} in all)" if "," in title else "")
