"""One alert on one screen: what an analyst needs to decide whether it is right."""

from chainwarden.explain.gather import Explainer
from chainwarden.explain.page import page

__all__ = ["Explainer", "page"]
