from models.machine import memory_bytes
from models.settings import Settings
from workers.devices import resident_bytes


def test_jobs_may_keep_half_of_the_memory_together_unless_a_setting_says_how_much_each() -> None:
    assert 4 * resident_bytes(Settings(), 4) <= memory_bytes() / 2 < 4 * resident_bytes(Settings(), 4) + 8
    assert resident_bytes(Settings(resident_bytes=1000), 4) == 1000
