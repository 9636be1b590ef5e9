"""Reads an HTML page with the standard library alone, for what it holds and whether its tags are closed."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}


class PageReader(HTMLParser):
    """Collects the tags, attributes, ids and text of a page; a tag closed out of turn raises AssertionError."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self._texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self._texts.append(data)

    @property
    def text(self) -> str:
        """All text but the styles'."""
        return "".join(self._texts)


def read_page(html: str) -> PageReader:
    """Parse a whole page."""
    reader = PageReader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader
