"""Whether there is room for another job or upload: on the disk, and in what its owner may use."""

from models.disk import is_full
from models.errors import DiskFull
from service.context import context


def require_room(owner: str) -> None:
    """Lets something new of an owner pass.

    Raises:
        DiskFull, OverBudget
    """
    shared = context()
    if is_full(shared.settings):
        limit = f"{shared.settings.free_disk_bytes:,} bytes are free on the disk (DESCENT_FREE_DISK_BYTES)"
        raise DiskFull(f"Less than {limit}; neither jobs nor uploads are accepted.")
    shared.usage.require_budget(owner)
