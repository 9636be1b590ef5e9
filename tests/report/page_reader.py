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
        self._first_layer: list[str] = []

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
        folds = [place for place, tag in enumerate(self.open) if tag == "details"]
        is_seen = all(self.open[place + 1 : place + 2] == ["summary"] for place in folds)
        if is_seen and "more" not in self.ids and not {"style", "script", "head"} & set(self.open):
            self._first_layer.append(data)

    @property
    def text(self) -> str:
        """All text but the styles'."""
        return "".join(self._texts)

    @property
    def first_layer(self) -> str:
        """The text in sight before what is folded: to the section ``more``, without what details hold."""
        return " ".join(self._first_layer)


def read_page(html: str) -> PageReader:
    """Parse a whole page."""
    reader = PageReader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader
