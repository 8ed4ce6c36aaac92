"""All cells of the zoo: data set x family x range of depths."""

from benchmarks.diagnosis.case import Cell

HOPELESS = {("diabetes", "deep"), ("diabetes", "very_deep"), ("digits", "very_deep")}
"""A plain network of this depth learns little of this set in a budget of seconds."""
MLPS = ("iris", "wine", "breast_cancer", "diabetes", "xor", "circles", "blobs", "spirals", "digits", "sine")
CELLS: tuple[Cell, ...] = (
    *(
        Cell(name, "mlp", depth)
        for name in MLPS
        for depth in ("shallow", "middle", "deep", "very_deep")
        if (name, depth) not in HOPELESS
    ),
    *(
        Cell(name, "residual_mlp", depth)
        for name in ("xor", "wine", "breast_cancer", "circles", "blobs", "digits")
        for depth in ("middle", "deep", "very_deep", "extreme")
    ),
    *(
        Cell(name, "sequential", depth)
        for name in ("iris", "wine", "breast_cancer", "circles", "blobs", "digits")
        for depth in ("shallow", "middle")
    ),
    *(
        Cell(name, "cnn", depth)
        for name in ("digits", "patterns", "signals", "spectrograms")
        for depth in ("shallow", "middle", "deep")
    ),
    *(Cell(name, "residual_cnn", "deep") for name in ("digits", "patterns", "signals", "spectrograms")),
    *(
        Cell(name, family, length)
        for family in ("rnn", "lstm", "gru")
        for name in ("adding", "copy_memory", "sine")
        for length in ("short", "long")
    ),
    *(Cell("digits_rows", family, "fixed") for family in ("rnn", "lstm", "gru")),
    *(Cell("lookahead", family, "short") for family in ("rnn", "lstm", "gru")),
)
"""All there is; a cell's half is decided by its name."""
