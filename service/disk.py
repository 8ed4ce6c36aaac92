"""Whether there is room for another job."""

from models.disk import is_full
from models.errors import DiskFull
from models.settings import Settings


def require_room(settings: Settings) -> None:
    """Lets a new job pass, unless the disk is nearly full.

    Raises:
        DiskFull
    """
    if is_full(settings):
        limit = f"{settings.free_disk_bytes:,} bytes"
        raise DiskFull(f"Less than {limit} are free on the disk (DESCENT_FREE_DISK_BYTES); no job is accepted.")
