import threading

from workers.training.read_ahead import AHEAD, read_ahead


def test_pieces_are_read_in_order() -> None:
    assert list(read_ahead(lambda piece: piece * 10, range(7))) == [0, 10, 20, 30, 40, 50, 60]
    assert list(read_ahead(str, [])) == []


def test_a_slow_caller_finds_a_few_blocks_ahead_and_never_more() -> None:
    read: list[int] = []
    arrived = threading.Semaphore(0)

    def note(piece: int) -> int:
        read.append(piece)
        arrived.release()
        return piece

    blocks = read_ahead(note, range(100))
    for taken in range(5):
        next(blocks)
        for _ in range(1 if taken else 1 + AHEAD):
            assert arrived.acquire(timeout=10)
        assert not arrived.acquire(timeout=0.02)
        assert len(read) == taken + 1 + AHEAD
    blocks.close()


def test_a_caller_who_leaves_waits_for_the_block_under_way_alone() -> None:
    read: list[int] = []
    blocks = read_ahead(read.append, range(100))
    next(blocks)
    blocks.close()
    assert len(read) <= 1 + AHEAD
    assert [thread for thread in threading.enumerate() if thread.name.startswith("reader")] == []
