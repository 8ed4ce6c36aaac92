"""Reads a zip of images, one top folder for each class, into bytes [rows, channels, height, width]."""

import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.definitions.uploaded import Uploaded
from models.ingest.archive import Archive
from models.ingest.array_file import ArrayFile
from models.ingest.options import Options
from models.ingest.refusal import refused

MOST_PIXELS = 16_000_000
MOST_CLASSES = 10_000
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
MODES = {
    "1": "L",
    "L": "L",
    "LA": "RGBA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
}
"""How the colours of an image may be kept, and what they become."""
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
Entry = zipfile.ZipInfo


def read_images(path: Path, options: Options, folder: Path, most_bytes: int) -> tuple[Uploaded, dict[str, Any]]:
    """Writes `x.npy` and `y.npy` into a folder.

    Raises:
        InvalidDataset
    """
    with Archive(path, most_bytes) as archive:
        entries = [(class_of(entry), entry) for entry in archive.entries if not is_hidden(entry.filename)]
        classes = sorted({name for name, _ in entries})
        _check_classes(classes)
        sizes, modes = _headers(archive, [entry for _, entry in entries])
        height, width = options.image_size or _one_size(sizes, [entry for _, entry in entries])
        channels = max(CHANNELS[mode] for mode in modes)
        mode = next(name for name, count in CHANNELS.items() if count == channels)
        total = len(entries) * channels * height * width
        if height * width > MOST_PIXELS or total > most_bytes:
            detail = f"The images have {total:,} bytes; at most {most_bytes:,} go (DESCENT_UNPACKED_BYTES)."
            raise refused("too_large_unpacked", detail, "Send image_size=[height, width].", "/image_size")
        codes = {name: code for code, name in enumerate(classes)}
        y = np.array([codes[name] for name, _ in entries], np.int64)
        with ArrayFile(folder / "x.npy", (channels, height, width), np.uint8) as x:
            for _, entry in entries:
                x.append(_pixels(archive, entry, mode, (width, height))[None])
    np.save(folder / "y.npy", y)
    uploaded = Uploaded(
        kind="image",
        task="classification",
        rows=len(entries),
        input_shape=(channels, height, width),
        outputs=len(classes),
        classes=tuple(classes),
    )
    counts = np.bincount(y).tolist()
    shown = [{"value": name, "rows": count} for name, count in zip(classes, counts, strict=True)]
    return uploaded, {"warnings": [], "columns": [{"name": "y", "missing": 0, "counts": shown[:1000]}]}


def is_hidden(name: str) -> bool:
    """What file managers add."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")) or name.endswith("Thumbs.db")


def class_of(entry: Entry) -> str:
    parts = entry.filename.split("/")
    if len(parts) < 2:
        detail = f"{entry.filename[:100]!r} in the zip file lies in no folder."
        raise refused("no_class", detail, "Put each image into a folder of the name of its class.")
    return parts[0]


def _check_classes(classes: list[str]) -> None:
    if not classes:
        raise refused("empty_file", "The zip file has no images.", "Put each into a folder of the name of its class.")
    if len(classes) == 1:
        detail = f"All images lie in one top folder, {classes[0][:100]!r}: there is one class."
        raise refused("one_class", detail, "Pack the folders of the classes themselves, not the folder above them.")
    if len(classes) > MOST_CLASSES:
        raise refused("too_many_classes", f"There are {len(classes):,} top folders.", "A top folder is a class.")


def _headers(archive: Archive, entries: list[Entry]) -> tuple[list[tuple[int, int]], set[str]]:
    """The [height, width] of each image, and how their colours are kept, without reading a pixel."""
    sizes, modes = [], set()
    for entry in entries:
        with _opened(archive, entry) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                detail = f"{entry.filename[:100]!r} has {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} go."
                raise refused("too_many_pixels", detail, "Scale it down.")
            if image.mode not in MODES:
                detail = f"{entry.filename[:100]!r} is an image of mode {image.mode}."
                raise refused("wrong_image", detail, "Save it with 8 bits a channel, grey or in colours.")
            sizes.append((height, width))
            modes.add(MODES[image.mode])
    return sizes, modes


def _one_size(sizes: list[tuple[int, int]], entries: list[Entry]) -> tuple[int, int]:
    for size, entry in zip(sizes, entries, strict=True):
        if size != sizes[0]:
            other = f"{entries[0].filename[:100]!r} {list(sizes[0])}"
            detail = f"{entry.filename[:100]!r} is {list(size)} pixels high and wide, and {other}."
            raise refused("unequal_images", detail, "Send image_size=[height, width] to scale them.", "/image_size")
    return sizes[0]


@contextmanager
def _opened(archive: Archive, entry: Entry) -> Iterator[Image.Image]:
    with archive.opened(entry) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError as error:
            detail = f"{entry.filename[:100]!r}: {str(error)[:200]}"
            raise refused("too_many_pixels", detail, "Scale it down.") from None
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error):
            detail = f"{entry.filename[:100]!r} is no image that can be read."
            raise refused("wrong_image", detail, f"Send {', '.join(FORMATS)}.") from None
        yield image


def _pixels(archive: Archive, entry: Entry, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """[channels, height, width]."""
    with _opened(archive, entry) as image:
        try:
            ready = image.convert(mode)
        except (OSError, ValueError, SyntaxError, struct.error) as error:
            detail = f"{entry.filename[:100]!r} is broken: {str(error)[:200]}."
            raise refused("broken_image", detail, "Save it again.") from None
    if ready.size != size:
        ready = ready.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(ready, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
