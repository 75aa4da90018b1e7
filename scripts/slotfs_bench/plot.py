"""Charts as SVG, readable on a light and on a dark page."""

from html import escape
from math import ceil, floor, log10

COLOURS = {"slotfs": "#2a78d6", "bare": "#8a8f98", "gocryptfs": "#d97b2b", "securefs": "#4f9d69"}
BAR, GAP, LEFT, WIDTH = 16, 22, 150, 760


def bars(title, unit, groups):
    """`groups`: a label, and by whom how much of `unit` (more is better)."""
    most = max(value for _, values in groups for value in values.values())
    rows = sum(len(values) * BAR + GAP for _, values in groups)
    height = rows + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
           f'<text x="12" y="42" fill="#555555">{escape(unit)}</text>']
    y = 60
    for label, values in groups:
        out.append(f'<text x="{LEFT - 10}" y="{y + len(values) * BAR / 2 + 4}" text-anchor="end">{escape(label)}</text>')
        for who, value in values.items():
            long = (WIDTH - LEFT - 170) * value / most
            out.append(f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR - 3}" fill="{COLOURS.get(who, "#777777")}"/>')
            out.append(f'<text x="{LEFT + long + 6:.1f}" y="{y + BAR - 5}">{escape(who)} {value:,.0f}</text>')
            y += BAR
        y += GAP
    out.append("</svg>")
    return "\n".join(out) + "\n"


def lines(title, unit, xs, series):
    """`series`: by name, a value of `unit` for each of `xs`; both axes are logarithmic."""
    height, top, bottom, right = 420, 60, 40, 130
    values = [value for of in series.values() for value in of]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    first, last = log10(xs[0]), log10(xs[-1])

    def across(x):
        return LEFT / 2 + (WIDTH - LEFT / 2 - right) * ((log10(x) - first) / (last - first) if last > first else 0.5)

    def up(value):
        return height - bottom - (height - top - bottom) * (log10(value) - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
           f'<text x="12" y="42" fill="#555555">{escape(unit)}</text>']
    for power in range(low, high + 1):
        y = up(10 ** power)
        out.append(f'<line x1="{LEFT / 2}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT / 2 - 8}" y="{y + 4:.1f}" text-anchor="end">{10 ** power:,g}</text>')
    for x in xs:
        out.append(f'<text x="{across(x):.1f}" y="{height - 16}" text-anchor="middle">{x:,}</text>')
    for (name, of), colour in zip(series.items(), ["#2a78d6", "#d97b2b", "#4f9d69", "#8a8f98"]):
        points = " ".join(f"{across(x):.1f},{up(value):.1f}" for x, value in zip(xs, of))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{across(xs[-1]) + 8:.1f}" y="{up(of[-1]) + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
