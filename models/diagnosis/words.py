"""Numbers as an explanation says them, and what several say."""

HELD_BACK = " The schedule leaves no more than a tenth of the rate."


def percent(share: float) -> str:
    """0.0123 as `1.2 %`, 1.5 as `150 %`; with an exponent only what is beyond all measure."""
    if share > 100:
        return f"{100 * share:.0e} %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def about(number: float) -> str:
    """Two digits of it: 3.456 as `3.5`, 172.3 as `170`; with an exponent only what is beyond all measure."""
    return f"{float(f'{number:.2g}'):.10g}"


def left_of(share: float) -> str:
    """Of something that has shrunk."""
    if share == 0:
        return "nothing"
    return percent(share) if share >= 1e-3 else f"{share:.0e}"


def counted(number: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
