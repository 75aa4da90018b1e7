"""A bar chart as SVG, readable on a light and on a dark page."""

from html import escape

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
