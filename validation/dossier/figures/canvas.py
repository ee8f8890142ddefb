"""The drawing surface: fonts, colours that colour-blind readers can tell apart, and byte-stable output."""

from __future__ import annotations

import base64
import json
import re
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache
from html import escape
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

from validation.data import shipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: distinct under the common colour-vision deficiencies and in grey
INK, BLUE, ORANGE, GREEN, VERMILLION, PURPLE, GREY = (
    "#1b1f24",
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#7a4b94",
    "#6b7480",
)
SHADE, RULE = "#e8f1ec", "#c9ced6"
OUTCOME_COLOURS = {"pass": "#00694c", "fail": "#a83c00", "inconclusive": "#5f5300"}
WIDTH = 6.5  # inches: the text width of both papers
_ID = re.compile(r'\s(?:id|gid)="([^"]+)"')


@dataclass(frozen=True)
class Drawing:
    """A finished figure: what HTML and PDF show, what Word shows, and its words for those who cannot see it."""

    svg: str
    png: bytes
    caption: str
    alternative: str
    width_inches: float

    @property
    def titled(self) -> str:
        """The SVG with its words as a title, which PDF and screen readers take as the alternative text."""
        start = self.svg.index(">") + 1
        return f"{self.svg[:start]}<title>{escape(self.alternative)}</title>{self.svg[start:]}"

    def to_json(self) -> str:
        """Return the drawing as text, for a process that prints the same run."""
        return json.dumps({**asdict(self), "png": base64.b64encode(self.png).decode()})

    @classmethod
    def from_json(cls, text: str) -> Drawing:
        """Read what :meth:`to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "png": base64.b64decode(fields["png"])})


@cache
def _family() -> str:
    from matplotlib import font_manager

    for style in ("Regular", "Italic", "Semibold", "Bold"):
        font_manager.fontManager.addfont(shipped("templates", "dossier", "fonts", f"OpenSans-{style}.ttf"))
    return "Open Sans"


def style(name: str) -> AbstractContextManager[Any]:
    """Return the context in which a figure is drawn; ``name`` seeds the ids in its SVG."""
    import matplotlib as mpl

    return mpl.rc_context(
        {
            "font.family": [_family(), "DejaVu Sans"],
            "font.size": 8.5,
            "axes.titlesize": 9,
            "axes.labelsize": 8.5,
            "axes.edgecolor": GREY,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.linewidth": 0.7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.unicode_minus": True,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "svg.fonttype": "none",
            "svg.hashsalt": name,
            "figure.facecolor": "white",
        }
    )


def surface(height: float, *, columns: int = 1, width: float = WIDTH, **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes, laid out so that nothing is clipped."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, **options)


def finish(figure: Figure, *, caption: str, alternative: str) -> Drawing:
    """Turn a figure into SVG and PNG with no date and no version in them."""
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=220, metadata={"Software": None})
    return Drawing(
        svg=_inline(text.getvalue()),
        png=picture.getvalue(),
        caption=caption,
        alternative=alternative,
        width_inches=float(figure.get_size_inches()[0]),
    )


def _inline(svg: str) -> str:
    """Drop the XML prologue and every id that nothing points to: two figures of a document must not share one."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    return _ID.sub(lambda match: match.group() if match.group(1) in used else "", body).strip()


def ticks_from(axes: Axes, labels: list[str]) -> None:
    """Label the rows of a horizontal plot from top to bottom."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
