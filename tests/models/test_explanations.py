"""How an explanation says a number."""

import pytest

from models.diagnosis.words import about


@pytest.mark.parametrize(
    ("number", "said"), [(0.01234, "0.012"), (3.456, "3.5"), (8.0, "8"), (172.3, "170"), (6789.0, "6800")]
)
def test_a_number_of_layers_or_rows_is_said_without_an_exponent(number: float, said: str) -> None:
    assert about(number) == said
