"""Strips: drawings as wide as the page, of a fixed height, whose text stays as large as the page's on every screen.

Along a strip all places are percentages, so that it can have any width; paths, which know no percentages, are drawn in
a box of 100 by 100 that is stretched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_rai.page.markup import Markup, element, joined
from edge_rai.page.scale import Scale

Points = Sequence[tuple[float, float]]

_ROOM = 9
_CLOSEST = 8.5  # percent between labels, on the narrowest screen


@dataclass(frozen=True, slots=True)
class Plane:
    """A strip with a scale upwards too, and some room above and below it.

    Attributes:
        across: Along the strip.
        up: From its bottom to its top.
        height: Of the strip, in pixels.
    """

    across: Scale
    up: Scale
    height: float

    def x(self, value: float) -> float:
        """Percent."""
        return self.across.at(value)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return _ROOM + (self.height - 2 * _ROOM) * (1 - self.up.at(value) / 100)

    def line(self, points: Points, kind: str) -> Markup:
        """Values joined."""
        return line([(self.x(a), 100 - 100 * self.y(b) / self.height) for a, b in points], self.height, kind)

    def whisker(self, value: float, low: float, high: float) -> Markup:
        """An interval upwards."""
        return upright(self.x(value), self.y(high), self.y(low), "whisker")

    def level(self, value: float, kind: str) -> Markup:
        """A line along the whole strip."""
        return along(0, 100, self.y(value), kind)

    def levels(self, written: Iterable[tuple[float, str]]) -> Markup:
        """Lines along the strip at values, with a label each at its left end."""
        return joined(
            shape
            for value, text in written
            for shape in (self.level(value, "grid"), element("text", text, x=0, y=self.y(value) - 3, class_="halo"))
        )

    def point(self, a: float, b: float, kind: str, radius: float = 4) -> Markup:
        """A dot."""
        return dot(self.x(a), self.y(b), kind, radius)


def strip(height: float, title: str, description: str, *shapes: str) -> Markup:
    """A drawing that stands for itself: what it is, and what there is to see on it, in words too."""
    said = (element("title", title), element("desc", description))
    return element("svg", *said, *shapes, class_="strip", role="img", width="100%", height=height)


def axis(scale: Scale, written: Sequence[tuple[float, str]], name: str) -> Markup:
    """Labels below strips.

    Args:
        scale: Of the strips.
        written: Values on it with their labels, rising.
        name: Of the axis.
    """
    return joined(
        (
            element("svg", *labels(scale, written, 12), class_="axis", width="100%", height=17, aria_hidden="true"),
            element("p", name, class_="axis-name"),
        )
    )


def labels(scale: Scale, written: Sequence[tuple[float, str]], y: float) -> list[Markup]:
    """Texts at values; one that would lie on the one before is left out."""
    found, last = [], -100.0
    for value, text in written:
        x = scale.at(value)
        if x - last < _CLOSEST:
            continue
        anchor = "start" if x < 3 else "end" if x > 97 else "middle"
        found.append(element("text", text, x=f"{x:.2f}%", y=y, text_anchor=anchor))
        last = x
    return found


def grid(scale: Scale, values: Iterable[float], height: float) -> Markup:
    """A thin line across a strip at each of the values."""
    return joined(upright(scale.at(value), 0, height, "grid") for value in values)


def upright(x: float, top: float, bottom: float, kind: str) -> Markup:
    """A line across the strip, x in percent."""
    return element("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=top, y2=bottom, class_=kind)


def along(low: float, high: float, y: float, kind: str) -> Markup:
    """A line along the strip, from and to in percent."""
    return element("line", x1=f"{low:.2f}%", x2=f"{high:.2f}%", y1=y, y2=y, class_=kind)


def block(low: float, high: float, top: float, height: float, kind: str) -> Markup:
    """A rectangle, from and to in percent; never so narrow that it cannot be seen."""
    return element("rect", x=f"{low:.2f}%", width=f"{max(high - low, 0.3):.2f}%", y=top, height=height, class_=kind)


def dot(x: float, y: float, kind: str, radius: float = 4) -> Markup:
    """A point, x in percent."""
    return element("circle", cx=f"{x:.2f}%", cy=y, r=radius, class_=kind)


def line(points: Points, height: float, kind: str) -> Markup:
    """Points joined, both of their numbers in percent, y from below."""
    return _stretched(element("path", d="M" + "L".join(_places(points)), class_=kind), height)


def area(points: Points, height: float, kind: str) -> Markup:
    """What is between points and, in turn, the points before them: a closed form."""
    return _stretched(element("path", d="M" + "L".join(_places(points)) + "Z", class_=kind), height)


def _places(points: Points) -> list[str]:
    return [f"{x:.2f} {100 - y:.2f}" for x, y in points]


def _stretched(shape: Markup, height: float) -> Markup:
    return element("svg", shape, width="100%", height=height, viewBox="0 0 100 100", preserveAspectRatio="none")
