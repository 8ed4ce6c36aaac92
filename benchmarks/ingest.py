"""`python -m benchmarks --only ingest`: files that are uploaded become arrays; seconds and memory, beside other ways.

Each contender reads the same file in a process of its own, and leaves arrays that can be mapped.
"""

import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.goals import GOALS
from benchmarks.process_memory import held
from benchmarks.report import Table, median, ratio, spread, take_turns

PACKAGES = ("pyarrow", "pandas", "pillow", "numpy")
COLUMNS = ("file, way", "seconds", "spread", "of Descent's", "most memory, MB", "goal")
NOTE = """Seconds from the first byte to arrays on the disk, without the imports; most memory is the process's highest
(VmHWM), imports included. Descent counts missing values, categories, medians and histograms on the way, and writes
a matrix of float32; pandas reads with its defaults and writes the same columns, categories as codes."""


def run(quick: bool) -> list[Table]:
    """1 M rows of 20 columns, and 10 000 images of 32x32; in quick mode a tenth."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            "table": write_table(folder / "table.csv", 100_000 if quick else 1_000_000),
            "images": write_images(folder / "images.zip", 1_000 if quick else 10_000),
        }
        rows = []
        for kind, path in files.items():
            memory: dict[str, list[float]] = {way: [] for way in WAYS[kind]}
            turns = {way: partial(turn, way, path, folder, memory[way]) for way in WAYS[kind]}
            samples = take_turns(turns, 3 if quick else 7)
            for way, seconds in samples.items():
                figures = median(seconds), spread(seconds), ratio(seconds, samples["descent"]), max(memory[way])
                rows.append(
                    [f"{kind} ({path.stat().st_size / 1e6:.0f} MB), {way}", *figures, GOALS.get(f"{kind}/{way}", "")]
                )
    return [Table("Reading uploads", COLUMNS, rows, " ".join(NOTE.split()))]


def turn(way: str, path: Path, folder: Path, memory: list[float]) -> float:
    line = [sys.executable, "-m", "benchmarks.ingest", way, str(path), str(folder)]
    seconds, peak = map(float, subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout.split())
    memory.append(peak / 1e6)
    return seconds


def write_table(path: Path, rows: int) -> Path:
    """18 columns of six digits, one of five words, and a target of five whole numbers."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"column_{index}" for index in range(20)) + "\n")
        for start in range(0, rows, 50_000):
            numbers = rng.standard_normal((min(50_000, rows - start), 18))
            words, targets = rng.integers(0, 5, (2, len(numbers)))
            lines = (",".join(f"{value:.6g}" for value in row) for row in numbers)
            file.writelines(f"{line},{'abcde'[w]},{t}\n" for line, w, t in zip(lines, words, targets, strict=True))
    return path


def write_images(path: Path, images: int) -> Path:
    """Noise in colours as PNG, in ten folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(images):
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(content, "PNG")
            archive.writestr(f"class_{index % 10}/{index}.png", content.getvalue())
    return path


def descent(path: Path, folder: Path) -> Callable[[], object]:
    from models.ingest.options import Options
    from models.ingest.reading import read_file

    return partial(read_file, path, Options(), folder, 10**10)


def pandas(path: Path, folder: Path, **options: str) -> Callable[[], object]:
    import pandas as pd

    def read() -> None:
        frame = pd.read_csv(path, **options)  # type: ignore[call-overload]
        for name in frame.select_dtypes(exclude="number"):
            frame[name] = frame[name].astype("category").cat.codes
        np.save(folder / "table.npy", frame.to_numpy(np.float32))

    return read


def plain_loop(path: Path, folder: Path) -> Callable[[], object]:
    """What one writes by hand: all images in a list."""
    from PIL import Image

    def read() -> None:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            images = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names]
        np.save(folder / "x.npy", np.stack(images).transpose(0, 3, 1, 2))
        _, classes = np.unique([name.split("/")[0] for name in names], return_inverse=True)
        np.save(folder / "y.npy", classes)

    return read


WAYS: dict[str, dict[str, Callable[[Path, Path], Callable[[], object]]]] = {
    "table": {"descent": descent, "pandas": pandas, "pandas, by pyarrow": partial(pandas, engine="pyarrow")},
    "images": {"descent": descent, "a plain loop": plain_loop},
}


def main(way: str, path: Path, folder: Path) -> None:
    """One contender, in this process."""
    read = next(ways[way] for ways in WAYS.values() if way in ways)(path, folder)
    started = time.perf_counter()
    read()
    print(time.perf_counter() - started, held("VmHWM"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
