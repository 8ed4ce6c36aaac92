"""How far a healthy job is from its nearest findings."""

import math

from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code
from models.diagnosis.reading import Reading, median


def margins(reading: Reading) -> dict[str, float]:
    """By code, how many times further a statistic could go before the finding might be true; 1 is at the threshold."""
    gain = median(reading.mean_gains[: at.INIT_SAMPLES])
    kept = median(reading.kept_over_time.max(axis=1)) if reading.kept_over_time.size else math.nan
    rms = reading.evidence.facts.get("input_rms")
    dead = reading.of_layers("dead")
    candidates = {
        Code.VANISHING_DEPTH: gain / at.GAIN_LOW,
        Code.EXPLODING_DEPTH: at.GAIN_HIGH / gain if gain else math.nan,
        Code.VANISHING_TIME: kept / at.LOST_TIME,
        Code.UNNORMALISED_INPUT: at.LARGE_INPUT_RMS / rms if rms else math.nan,
        Code.LEARNING_RATE_TOO_HIGH: median(reading.rho) / at.RHO_LOW,
        Code.DEAD_AT_INIT: at.DEAD / float(dead[0].max()) if len(dead) and dead[0].max() > 0 else math.nan,
    }
    return {code.value: float(f"{value:.3g}") for code, value in candidates.items() if math.isfinite(value)}
