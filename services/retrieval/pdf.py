"""PDF to blocks, by pypdf."""

import io
import logging
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from services.retrieval.blocks import Block, Document, Unreadable
from services.retrieval.plain import read_plain

MOST_PAGES: Final = 2_000


def read_pdf(content: bytes) -> Document:
    """The text of the pages; numbered headings are sections, under "page N". Raises Unreadable."""
    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        pages = _pages(content)
    except Unreadable:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        raise Unreadable(f"not a PDF that can be read ({type(error).__name__}: {error})") from error
    if not any(page.strip() for page in pages):
        raise Unreadable("the PDF has no text, only images: run it through text recognition first")
    return Document("", tuple(block for number, page in enumerate(pages, 1) for block in _page_blocks(number, page)))


def _pages(content: bytes) -> list[str]:
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("the PDF is protected by a password: save it without one")
    if len(reader.pages) > MOST_PAGES:
        raise Unreadable(f"the PDF has {len(reader.pages)} pages; the limit is {MOST_PAGES}: split it")
    return [page.extract_text() or "" for page in reader.pages]


def _page_blocks(number: int, page: str) -> tuple[Block, ...]:
    label = f"page {number}"
    return tuple(
        Block(block.path if len(block.path) == 1 else (*block.path[1:], label), block.text, block.shape)
        for block in _below(read_plain(page), label)
    )


def _below(document: Document, label: str) -> list[Block]:
    return [Block((label, *block.path), block.text, block.shape) for block in document.blocks]
