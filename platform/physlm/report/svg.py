"""Make a figure's SVG part of a page: unique ids, the page's colours and font, a name and a description."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from physlm.report import style

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_VARIABLES = {light: f"var(--{role}, {light})" for role, (light, _) in style.COLOURS.items()}
_COLOUR = re.compile("|".join(_VARIABLES))


def inline(data: bytes, name: str, title: str, description: str) -> str:
    """The SVG document as an element of an HTML page.

    name          prefix of all ids, unique on the page
    title         what the figure shows
    description   what there is to see in it, for those who can't

    Colours of the style become the page's custom properties, so that the figure follows a dark page. Coordinates are
    rounded to a hundredth of a point.
    """
    root = ElementTree.fromstring(data)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):  # a style element would act on the whole page
                parent.remove(child)
    used = _references(root)
    for element in root.iter():
        _rewrite(element, name, used)
        element.text = element.text if element.tag == f"{_SVG}text" else None
        element.tail = None
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-description",
        "style": "stroke-linejoin: round; stroke-linecap: butt",
    }
    for tag, key, text in (("desc", "description", description), ("title", "title", title)):
        element = ElementTree.Element(f"{_SVG}{tag}", {"id": f"{name}-{key}"})
        element.text = text
        root.insert(0, element)
    text = ElementTree.tostring(root, encoding="unicode")
    # Plain element names, as HTML has them, instead of namespace prefixes.
    return re.sub(r"(</?)\w+:", r"\1", re.sub(r' xmlns:\w+="[^"]*"', "", text, count=1))


def css_variables(dark: bool) -> str:
    """The style's colours as custom properties."""
    return " ".join(f"--{role}: {colours[dark]};" for role, colours in style.COLOURS.items())


def _references(root: ElementTree.Element) -> set[str]:
    found: set[str] = set()
    for element in root.iter():
        for value in element.attrib.values():
            found.update(_REFERENCE.findall(value))
        found.add(element.get(_HREF, "").removeprefix("#"))
    return found


def _rewrite(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        if key == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
        elif key == _HREF:
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif not (key == "transform" and value.startswith("rotate(-0 ")):
            value = _REFERENCE.sub(rf"url(#{name}-\1)", value)
            value = _COLOUR.sub(lambda match: _VARIABLES[match.group()], value)
            value = _LONG_DECIMAL.sub(lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), value)
            element.set(key, " ".join(value.split()))
