"""PDF files written by hand, for tests that look at what is read of them."""

FONTS = {"roman": "Times-Roman", "bold": "Times-Bold", "mono": "Courier"}


def escaped(text):
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def pdf_of(pages, info=""):
    """A PDF of pages, each of pieces (x, y, size, text, and "bold" or "mono") in the order in which they are written."""
    streams = [
        "\n".join(
            f"BT /{font[0] if font else 'roman'} {size} Tf 1 0 0 1 {x} {y} Tm ({escaped(text)}) Tj ET"
            for x, y, size, text, *font in page
        ).encode("cp1252")
        for page in pages
    ]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        " ".join(
            f"/{name}<</Type/Font/Subtype/Type1/BaseFont/{font}/Encoding/WinAnsiEncoding>>" for name, font in FONTS.items()
        )
        .join(("<<", ">>"))
        .encode(),
    ]
    for i, stream in enumerate(streams):
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font 3 0 R>>/Contents {5 + 2 * i} 0 R>>"
        objects += [page.encode(), b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream)]
    objects.append(f"<<{info}>>".encode())
    made, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Root 1 0 R/Info %d 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n"
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    return made + head + table + trailer % (len(objects), len(objects) + 1, len(made))
