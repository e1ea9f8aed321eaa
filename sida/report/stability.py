"""The verdict's stability as elements: a row of deliveries, each with what was said of it."""

from collections.abc import Iterator

from sida.html import Gallery, Paragraph, Table, Thumb, thumbnail
from sida.html.elements import Element
from sida.image.deliveries import DELIVERIES, deliver, shrink
from sida.image.read import Picture
from sida.report.wording import shortened
from sida.verdict import DeliveryVerdict, Stability

__all__ = ["stability_elements"]

MEANING = (
    "Messengers and sites save pictures again, and people crop them or take screenshots. The model "
    "judged such versions of the picture, too. The fewer of them a verdict holds in, the less it "
    "can be relied on."
)
SHOWN = 50  # deliveries that are listed
SIDE = 240  # pixels of a small picture's longer side


def stability_elements(stability: Stability, picture: Picture | None) -> Iterator[Element]:
    """The sentence, and the deliveries in a row; without the picture, as a table."""
    yield Paragraph(shortened(stability.sentence))
    yield Paragraph(MEANING)
    deliveries = stability.deliveries[:SHOWN]
    if picture is None or any(delivery.name not in DELIVERIES for delivery in deliveries):
        rows = [
            (shortened(delivery.title), delivery.phrase, "yes" if delivery.held else "no")
            for delivery in deliveries
        ]
        yield Table(("delivered as", "verdict", "holds?"), rows)
        return
    pixels = shrink(picture.pixels)
    yield Gallery(
        [
            Thumb(
                thumbnail(deliver(pixels, delivery.name), side=SIDE),
                _caption(delivery),
                "" if delivery.held else "changed",
            )
            for delivery in deliveries
        ]
    )


def _caption(delivery: DeliveryVerdict) -> str:
    return f"{delivery.title[0].upper()}{delivery.title[1:]}: {delivery.phrase}"
