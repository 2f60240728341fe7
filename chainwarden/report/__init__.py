"""A report about a replay or a stopped run: gathered once, written as HTML, Markdown or CSV.

``gather`` asks ledger and lake and returns plain facts; ``html``, ``markdown`` and ``rows`` write
them, and decide nothing. The same results always give the same bytes.
"""
