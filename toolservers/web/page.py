"""A program that turns an HTML page into Markdown: its text, its headings and lists, its links."""

from __future__ import annotations

import sys

from toolservers.web import address
from toolservers.web.charset import decode
from toolservers.web.reader import answer, fail, open_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.web.address import Address

MAX_BYTES = 5 * 1024 * 1024
"""Of HTML that is parsed; a tree takes a hundred times as much memory."""

_INVISIBLE = frozenset(
    (
        *("audio", "canvas", "datalist", "dialog", "embed", "iframe", "input", "link", "math"),
        *("meta", "noscript", "object", "script", "select", "source", "style", "svg"),
        *("template", "textarea", "track", "video"),
    )
)
_BLOCKS = frozenset(
    (
        *("address", "caption", "center", "dd", "details", "dir", "dt", "fieldset"),
        *("figcaption", "figure", "form", "hgroup", "legend", "menu", "search", "summary"),
    )
)
"""Elements that begin a new line, whatever the Markdown writer knows of them."""
_TABLE_PARTS = frozenset(("table", "thead", "tbody", "tfoot", "tr", "td", "th"))
_LAYOUT = frozenset(("article", "form", "h1", "h2", "h3", "h4", "main", "section", "table"))
"""What a table of data does not hold."""
_KEPT_ATTRIBUTES = frozenset(("rowspan", "colspan", "start"))


def main() -> None:
    body = open_document()
    declared, url = sys.argv[1], sys.argv[2]
    try:
        from justhtml import JustHTML
    except (ImportError, SyntaxError):
        fail("pages cannot be read with this Python")
        raise
    try:
        page = JustHTML(decode(body[:MAX_BYTES], declared, page=True), sanitize=False)
        named = page.query_one("title")
        title = " ".join(named.to_text().split()) if named is not None else ""
        base = _base(page, address.parse(url))
        mains = page.query("main")
        root: Any = mains[0] if len(mains) == 1 else page.root
        _simplify(root, base)
        if root is not page.root and not root.to_text().strip():
            root = page.root
            _simplify(root, base)
        text = root.to_markdown()
    except (RecursionError, MemoryError):
        fail("the page is too complex")
        raise
    if len(body) > MAX_BYTES:
        text += f"\n\n[Cut here: only the first {MAX_BYTES} bytes were read.]"
    answer(text, title=title[:500], markdown=True)


def _base(page: Any, url: Address) -> Address:
    """What links are relative to."""
    element = page.query_one("base[href]")
    try:
        return url.join(element.attrs["href"] or "") if element is not None else url
    except ValueError:
        return url


def _simplify(root: Any, base: Address) -> None:
    """Leave what can be read: text, structure, absolute links; in one pass, without recursion."""
    layout: set[int] = set()
    parts: list[tuple[Any, Any]] = []
    todo: list[tuple[Any, Any]] = [(root, None)]
    while todo:
        node, table = todo.pop()
        if node.name in _LAYOUT and table is not None:
            layout.add(id(table))
        if node.name == "table":
            table = node
        if node.name in _TABLE_PARTS and table is not None:
            parts.append((node, table))
        node.children[:] = [_readable(child) for child in node.children if _is_visible(child)]
        todo.extend((child, table) for child in node.children if child.name != "#text")
        node.attrs = _kept(node, base)
        if node.name in _BLOCKS:
            node.name = "div"
    for part, table in parts:
        if id(table) in layout:
            part.name = "div"


def _is_visible(node: Any) -> bool:
    if node.name == "#text":
        return True
    hidden = node.children is None or node.name in _INVISIBLE
    return not hidden and "hidden" not in (node.attrs or ())


def _readable(node: Any) -> Any:
    """The node itself; of an image what it shows."""
    if node.name != "img":
        return node
    from justhtml import Text

    shows = " ".join((node.attrs.get("alt") or "").split())
    return Text(f"(image: {shows})" if shows else "")


def _kept(node: Any, base: Address) -> dict[str, str | None]:
    kept = {name: value for name, value in (node.attrs or {}).items() if name in _KEPT_ATTRIBUTES}
    if node.name == "a":
        link = _link(node.attrs.get("href") or "", base)
        if link:
            kept["href"] = link
        else:
            node.name = "span"
    return kept


def _link(href: str, base: Address) -> str:
    """Where a link leads, if that is another page."""
    if not href.strip() or href.strip().startswith("#"):
        return ""
    try:
        return str(base.join(href))
    except ValueError:
        return ""
