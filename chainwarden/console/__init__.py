"""The analyst console: its page and what that asks for beyond the API.

The page is static, lies in ``dashboards/console`` and is open to everybody, as it says nothing of
any chain; what it shows it asks of the API, with a token where one is wanted.
"""

from chainwarden.console.assets import asset_routes
from chainwarden.console.graphs import Graphs
from chainwarden.console.known import known

__all__ = ["Graphs", "asset_routes", "known"]
