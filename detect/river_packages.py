"""River's packages without what they import besides.

``river.anomaly``, ``river.drift`` and ``river.tree`` import all their modules, and these SciPy's
statistics, scikit-learn and River's data sets: most of a second of every start, for nothing that is
used here. Here such a package runs its own code only when somebody asks it for a name; modules such
as ``river.anomaly.hst`` are imported from it before that, and are the same modules after it.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

import river

PACKAGES: Final = ("anomaly", "drift", "tree")


class _Package(ModuleType):
    """A package whose own code runs when it is asked for a name that it does not have yet."""

    deferred = True

    def __getattr__(self, name: str) -> Any:
        # Import asks for such names of its own.
        if not self.deferred or (name.startswith("__") and name != "__all__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.deferred = False
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer() -> None:
    """Have those packages wait, but for such as were imported already."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(f"river.{name}")
        if spec is None or spec.name in sys.modules:
            continue
        module = importlib.util.module_from_spec(spec)
        module.__class__ = _Package
        sys.modules[spec.name] = module
        setattr(river, name, module)
