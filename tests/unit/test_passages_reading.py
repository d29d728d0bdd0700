"""Every kind of document is read into blocks, and what cannot be read says why."""

import io

import pytest
from pypdf import PdfWriter

from services.retrieval.blocks import Shape, Unreadable
from services.retrieval.reading import MAX_DOCUMENT_BYTES, Kind, kind_of, read_document

HTML = """<!doctype html><html><head><title>Shop help</title><style>p{}</style></head><body>
<nav>Home | Cart</nav><h1>Returns</h1><p>Send it <b>back</b> within 30&nbsp;days.</p>
<h2>4.1 Refunds</h2><div>Money comes in <em>five</em> days.<ul><li>card</li><li>bank</li></ul></div>
<table><tr><th>way</th><th>days</th></tr><tr><td>card</td><td>5</td></tr></table>
<pre>curl  -X POST</pre><script>alert("no")</script><!-- hidden --></body></html>"""


def test_html_keeps_structure_and_drops_what_is_not_text() -> None:
    document = read_document(Kind.HTML, HTML.encode())
    said = [(block.path, block.text) for block in document.blocks]
    assert document.title == "Returns"
    assert said[0] == ((), "Send it back within 30 days.")
    assert (("4.1 Refunds",), "Money comes in five days.") in said
    assert (("4.1 Refunds",), "- card") in said
    assert (("4.1 Refunds",), "| way | days |\n| --- | --- |\n| card | 5 |") in said
    assert (("4.1 Refunds",), "curl  -X POST") in said
    everything = " ".join(text for _, text in said)
    assert not any(word in everything for word in ("alert", "hidden", "Cart", "p{}"))


def test_html_encoding_is_the_pages_own() -> None:
    page = '<meta charset="iso-8859-1"><p>Gr\u00f6\u00dfe</p>'.encode("iso-8859-1")
    assert read_document(Kind.HTML, page).blocks[0].text == "Gr\u00f6\u00dfe"


def test_deeply_nested_html_is_read_to_its_end() -> None:
    page = "<div>" * 600 + "the core" + "</div>" * 600
    assert [block.text for block in read_document(Kind.HTML, page.encode()).blocks] == ["the core"]


def test_plain_text_headings_are_seen() -> None:
    text = b"Guide\n=====\n\nWelcome here.\n\n3.2 Limits\n\nTen a day.\nNo more.\n\nOPENING HOURS\n\n- Monday\n- Tuesday\n"
    said = [(block.path, block.text) for block in read_document(Kind.TEXT, text).blocks]
    assert said == [
        (("Guide",), "Welcome here."),
        (("Guide", "3.2 Limits"), "Ten a day. No more."),
        (("OPENING HOURS",), "- Monday"),
        (("OPENING HOURS",), "- Tuesday"),
    ]


def test_a_pdf_says_its_page_and_its_numbered_sections() -> None:
    document = read_document(Kind.PDF, pdf(["Warranty lasts two years.", "3.2 Limits", "Ten calls a day are free."]))
    said = [(block.path, block.text) for block in document.blocks]
    assert said == [
        (("page 1",), "Warranty lasts two years."),
        (("3.2 Limits", "page 1"), "Ten calls a day are free."),
    ]


def test_markdown_list_numbers_and_code_are_no_headings() -> None:
    document = read_document(Kind.MARKDOWN, b"# A\n\n1. one\n2. two\n\n```\n# three\n```\n")
    assert [(b.path, b.text, b.shape) for b in document.blocks] == [
        ((), "1. one", Shape.ITEM), ((), "2. two", Shape.ITEM), ((), "# three", Shape.CODE)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (Kind.TEXT, b"", "empty"),
        (Kind.MARKDOWN, b" \n\t ", "empty"),
        (Kind.TEXT, b"caf\xe9", "byte 3"),
        (Kind.TEXT, b"a\x00b", "binary"),
        (Kind.MARKDOWN, b"\xff\xfea", "UTF-16"),
        (Kind.HTML, b"<script>x</script>", "no text"),
        (Kind.MARKDOWN, b"---\na: b\n---\n", "no text"),
        (Kind.PDF, b"%PDF-1.4 broken", "not a PDF"),
        (Kind.PDF, b"hello", "not a PDF"),
        (Kind.TEXT, b"x" * (MAX_DOCUMENT_BYTES + 1), "limit"),
    ],
)
def test_what_cannot_be_read_says_why(kind: Kind, content: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read_document(kind, content)


def test_a_pdf_without_text_and_a_locked_one_say_so() -> None:
    blank, locked = PdfWriter(), PdfWriter()
    blank.add_blank_page(200, 200)
    locked.add_blank_page(200, 200)
    locked.encrypt("secret", algorithm="RC4-128")
    for writer, said in ((blank, "text recognition"), (locked, "password")):
        with pytest.raises(Unreadable, match=said):
            read_document(Kind.PDF, written(writer))


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(Unreadable, match="markdown, text, html, pdf"):
        kind_of("docx")


def written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def pdf(lines: list[str]) -> bytes:
    """A PDF of one page with these lines, made by hand: pypdf cannot write text."""
    shown = " ".join(f"({line}) Tj 0 -20 Td" for line in lines)
    stream = f"BT /F1 12 Tf 50 700 Td {shown} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (table, start)
