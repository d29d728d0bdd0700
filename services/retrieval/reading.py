"""One document's bytes to blocks, by its kind."""

from enum import Enum
from typing import Final, assert_never

from services.retrieval.blocks import Document, Unreadable

MAX_DOCUMENT_BYTES: Final = 7_500_000
"""Below the 8 MB that a gRPC message may have."""


class Kind(Enum):
    """What a document is written in."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    PDF = "pdf"


def kind_of(word: str) -> Kind:
    """The kind that a request names. Raises Unreadable with the words that are known."""
    try:
        return Kind(word)
    except ValueError:
        known = ", ".join(kind.value for kind in Kind)
        raise Unreadable(f"kind {word!r} is not known; known are: {known}") from None


def read_document(kind: Kind, content: bytes) -> Document:
    """Blocks of a document. Raises Unreadable; the message is one sentence for the person who sent it."""
    if not content.strip():
        raise Unreadable("the document is empty")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Unreadable(f"the document has {len(content):,} bytes; the limit is {MAX_DOCUMENT_BYTES:,}: split it")
    document = _parse(kind, content)
    if not document.blocks:
        raise Unreadable("the document has no text")
    return document


def _parse(kind: Kind, content: bytes) -> Document:
    match kind:
        case Kind.MARKDOWN:
            from services.retrieval.markdown import read_markdown

            return read_markdown(decode(content))
        case Kind.TEXT:
            from services.retrieval.plain import read_plain

            return read_plain(decode(content))
        case Kind.HTML:
            from services.retrieval.html import read_html

            return read_html(content)
        case Kind.PDF:
            from services.retrieval.pdf import read_pdf

            return read_pdf(content)
        case _:
            assert_never(kind)


def decode(content: bytes) -> str:
    """UTF-8, or UTF-16 with its mark. Raises Unreadable for anything else, and for binary data."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"not {encoding.removesuffix('-sig').upper()} text (byte {error.start} does not belong there): convert it to UTF-8") from None
    if "\x00" in text:
        raise Unreadable(f"binary data, not text (a zero byte at {text.index(chr(0))})")
    return text
