import time
from pathlib import Path

import pytest

from models.doorbell import Doorbell
from models.settings import Settings


@pytest.mark.fault(8)
def test_a_file_of_the_broker_that_is_half_written_costs_a_ring_and_not_those_after_it(tmp_path: Path) -> None:
    exchange = tmp_path / "broker" / "control" / "descent.exchange"
    exchange.parent.mkdir(parents=True)
    exchange.write_text("")
    doorbell = Doorbell(Settings(data=tmp_path))
    doorbell.ring()
    time.sleep(1)
    exchange.unlink()
    end = time.monotonic() + 10
    while not list((tmp_path / "broker" / "messages").glob("*")):
        assert time.monotonic() < end, "nobody is rung any more"
        doorbell.ring()
        time.sleep(0.1)
