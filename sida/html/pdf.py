"""`pdf`: a page as PDF, by WeasyPrint; nothing is fetched for it.

WeasyPrint lays out the same HTML and CSS that a browser shows, so that there is one template for
both. It is Python, with Pango of the operating system; a browser would be a second, larger program
to keep, and libraries that draw boxes themselves would need every page written twice.
"""

from typing import Any

from sida.errors import SidaError, optional_package
from sida.html.page import Page

__all__ = ["pdf", "require_pdf"]


def pdf(page: Page | str) -> bytes:
    """The document of a page, or of its HTML, with its structure tagged for screen readers.

    Raises:
        MissingExtra: WeasyPrint is not installed.
        SidaError: Pango is not installed.
    """
    weasyprint = require_pdf()
    html = page if isinstance(page, str) else page.html()
    # Nothing is fetched: names in a page come from files of strangers.
    fetcher = weasyprint.URLFetcher(allowed_protocols=["data"])
    document: bytes = weasyprint.HTML(string=html, url_fetcher=fetcher).write_pdf(
        pdf_tags=True, optimize_images=False
    )
    return document


def require_pdf() -> Any:
    """WeasyPrint, or the sentence of what is missing, as `pdf` raises it."""
    try:
        with optional_package("weasyprint", "report", "Writing a PDF"):
            import weasyprint
    except OSError as error:
        raise SidaError(
            "Writing a PDF needs Pango, which is not installed: install it (Debian: `apt-get "
            f"install libpango-1.0-0 libpangoft2-1.0-0`), or write a .html file ({error})."
        ) from error
    return weasyprint
