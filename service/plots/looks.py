"""The colours of pictures, in light and dark, by what they mean; and the style sheet that says so in an SVG."""

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

INK, DARK_INK = "#1f2328", "#e6edf3"
MUTED, DARK_MUTED = "#59636e", "#9198a1"


@dataclass(frozen=True)
class Stroke:
    light: str
    dark: str
    width: float = 1
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Fill:
    light: str
    dark: str


@dataclass(frozen=True)
class Font:
    light: str
    dark: str
    size: float
    is_bold: bool = False


# Colours that also those tell apart who see no red or no green (Okabe and Ito 2008).
STROKES = {
    "grid": Stroke("#e4e8ed", "#2a3038"),
    "axis": Stroke("#8c959f", "#6e7681"),
    "train": Stroke("#0072b2", "#56b4e9", 2),
    "validation": Stroke("#d55e00", "#f0a35e", 2),
    "best": Stroke("#009e73", "#3ddbab", 1.5, (5, 4)),
    "theory": Stroke("#1f2328", "#e6edf3", 1.5, (6, 4)),
    "step0": Stroke("#440154", "#c9a6e0", 2),
    "step1": Stroke("#31688e", "#7cb7e0", 2),
    "step2": Stroke("#20908d", "#4fd0c9", 2),
    "step3": Stroke("#6a9c1c", "#b5e04a", 2),
    "cross": Stroke("#c4006a", "#ff6bb3", 2),
    "link": Stroke("#8c959f", "#6e7681", 1.5),
}
FILLS = {name: Fill(look.light, look.dark) for name, look in STROKES.items()} | {
    "paper": Fill("#ffffff", "#0d1117"),
    "card": Fill("#f3f5f8", "#1b222b"),
    "healthy": Fill("#009e73", "#3ddbab"),
    "warning": Fill("#e69f00", "#f2b632"),
    "fault": Fill("#c4006a", "#ff6bb3"),
    "unknown": Fill("#aab2bc", "#59636e"),
}
FONTS = {
    "title": Font(INK, DARK_INK, 16, is_bold=True),
    "label": Font(MUTED, DARK_MUTED, 12),
    "tick": Font(MUTED, DARK_MUTED, 11),
    "name": Font(INK, DARK_INK, 13),
    "message": Font(MUTED, DARK_MUTED, 15),
    "alarm": Font("#c4006a", "#ff6bb3", 12),
}
LEVELS = 32
"""Shades of a heat map, by the logarithm of the number."""
ZERO, NAN, INFINITE = LEVELS, LEVELS + 1, LEVELS + 2
_VIRIDIS = [
    "#440154",
    "#482878",
    "#3e4a89",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6dcd59",
    "#b4de2c",
    "#fde725",
]


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _shades() -> list[str]:
    """LEVELS colours along viridis (Smith and van der Walt 2015), which grows lighter as the number grows."""
    known = np.array([_channels(colour) for colour in _VIRIDIS])
    places = np.linspace(0, len(_VIRIDIS) - 1, LEVELS)
    channels = [np.interp(places, range(len(_VIRIDIS)), known[:, channel]) for channel in range(3)]
    return ["#" + "".join(f"{round(value):02x}" for value in shade) for shade in zip(*channels, strict=True)]


COLOURS = (*_shades(), "#9aa4b0", "#c4006a", "#ff4f00")
"""Of levels: shades, then zero, NaN and infinity. They stand by themselves, in light and in dark."""


def _rules(dark: bool) -> list[str]:
    def of(look: Stroke | Fill | Font) -> str:
        return look.dark if dark else look.light

    strokes = [f".line-{name}{{stroke:{of(look)}}}" for name, look in STROKES.items()]
    fills = [f".fill-{name}{{fill:{of(look)}}}" for name, look in FILLS.items()]
    fonts = [f".text-{name}{{fill:{of(look)}}}" for name, look in FONTS.items()]
    return [*strokes, *fills, *fonts]


def _shared_rules() -> list[str]:
    """What does not depend on light and dark."""
    strokes = [
        f".line-{name}{{stroke-width:{look.width}"
        + (f";stroke-dasharray:{' '.join(map(str, look.dash))}" if look.dash else "")
        + "}"
        for name, look in STROKES.items()
    ]
    fonts = [
        f".text-{name}{{font-size:{look.size}px" + (";font-weight:600" if look.is_bold else "") + "}"
        for name, look in FONTS.items()
    ]
    cells = [f".level-{level}{{stroke:{colour}}}" for level, colour in enumerate(COLOURS)]
    every = ["text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"]
    return [*every, "path,polyline{fill:none}", "polyline{stroke-linejoin:round}", *strokes, *fonts, *cells]


STYLE = "".join([*_shared_rules(), *_rules(dark=False), "@media (prefers-color-scheme:dark){", *_rules(dark=True), "}"])
STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
"""For a Content-Security-Policy that lets this style sheet apply, and no other."""
