"""The pieces that charts and graphs are drawn with. Text is escaped on its way in."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

Value = str | int | float | None


def element(name: str, content: Markup | str = "", **attributes: Value) -> Markup:
    """One element. Text and attributes are escaped, ``Markup`` is taken as it is.

    ``class_`` stands for ``class``, an underscore in a name for a hyphen.

    >>> element("text", "a<b", x=1.50, text_anchor="end")
    Markup('<text x="1.5" text-anchor="end">a&lt;b</text>')
    """
    words = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), words, content)


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("").join(parts)


def picture(
    key: str, title: str, description: str, size: tuple[float, float], parts: Iterable[Markup]
) -> Markup:
    """A whole drawing, with a name and a description for those who cannot see it.

    ``key`` is unique in the document.
    """
    width, height = size
    head = [
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
    ]
    return element(
        "svg",
        joined([*head, *parts]),
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        width=width,
        height=height,
    )


def label(
    x: float, y: float, text: str, anchor: str = "start", class_: str | None = None
) -> Markup:
    """A line of text."""
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def bar(x: float, top: float, width: float, bottom: float, class_: str, tip: str) -> Markup:
    """A filled rectangle that says what it is when pointed at."""
    return element(
        "rect",
        element("title", tip),
        x=x,
        y=top,
        width=max(width, 0.5),
        height=max(bottom - top, 0.0),
        class_=class_,
    )


def dot(x: float, y: float, radius: float, class_: str, tip: str) -> Markup:
    """A filled circle that says what it is when pointed at."""
    return element("circle", element("title", tip), cx=x, cy=y, r=radius, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Straight lines from point to point.

    >>> path([(0, 1), (2.0, 3.25)], "c0")
    Markup('<polyline points="0,1 2,3.2" class="c0"></polyline>')
    """
    text = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    return element("polyline", points=text, class_=class_)


def _short(value: Value) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
