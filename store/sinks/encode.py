"""What an encoder is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from store.notice import Notice

Encode = Callable[[Notice, bool], dict[str, Any]]
"""A notice, and whether its plain form is wanted, to the JSON that a service takes."""
