"""Whether there is room for another job."""

from models.disk import is_full
from models.errors import DiskFull
from models.settings import Settings


def require_room(settings: Settings) -> None:
    """Raises:
    DiskFull
    """
    if is_full(settings):
        most = f"{settings.free_disk_bytes:,} bytes"
        raise DiskFull(
            f"Less than {most} are free on the service's disk (DESCENT_FREE_DISK_BYTES); no job is accepted."
        )
