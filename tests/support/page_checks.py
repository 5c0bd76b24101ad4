"""What a page in a browser is held to: everything within the screen, nothing over anything else, all of it readable."""

from __future__ import annotations

SCREENS = {
    "desktop": (1100, "light"),
    "dark desktop": (1100, "dark"),
    "phone": (360, "light"),
    "dark phone": (360, "dark"),
}
HEADINGS = "[...document.querySelectorAll('h2')].map(heading => heading.textContent)"
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
# Shapes and texts that leave the screen sideways, or their drawing by more than a dot's radius.
ASTRAY = """
[...document.querySelectorAll('svg[role=img] *, svg.axis text')].filter(shape => {
  if (['title', 'desc', 'svg'].includes(shape.tagName)) return false;
  const around = shape.closest('svg.strip, svg.axis').getBoundingClientRect(), box = shape.getBoundingClientRect();
  return box.left < 0 || box.right > innerWidth || box.top < around.top - 6 || box.bottom > around.bottom + 6;
}).map(shape => shape.outerHTML.slice(0, 100))
"""
INVISIBLE = """
[...document.querySelectorAll('svg[role=img]')].filter(drawing => {
  const shapes = [...drawing.querySelectorAll('path, rect, circle, line')];
  return !shapes.some(shape => { const box = shape.getBoundingClientRect(); return box.width + box.height > 4; });
}).length
"""
OVERLAPPING = """
[...document.querySelectorAll('svg.axis, svg.strip')].flatMap(drawing => {
  const boxes = [...drawing.querySelectorAll('text:not(.inside)')].map(text => text.getBoundingClientRect());
  return boxes.slice(1).filter((box, i) => box.left < boxes[i].right && Math.abs(box.top - boxes[i].top) < 6);
}).length
"""
# The least contrast of any text with the ground below it, as WCAG 2 counts it.
CONTRAST = """
(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = node => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (!color.startsWith('rgba(') || !color.endsWith(', 0)')) return color;
    }
  };
  const texts = document.querySelectorAll('h1, h2, h3, p, li, span, figcaption, summary, th, td, caption, code, text');
  return Math.min(...[...texts].filter(text => !text.matches('.inside')).map(text => {
    const style = getComputedStyle(text), ours = light(text.tagName == 'text' ? style.fill : style.color);
    const theirs = light(ground(text));
    return (Math.max(ours, theirs) + 0.05) / (Math.min(ours, theirs) + 0.05);
  }));
})()
"""
