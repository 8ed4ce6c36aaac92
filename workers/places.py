"""Who holds which slot of this worker, and what it can offer to the next job."""

from collections.abc import Mapping, Sequence

from models.claims import Claim, Offer
from workers.devices import Slot


class Places:
    """The slots, and the claims that hold them. Used under the scheduler's lock."""

    def __init__(self, slots: Sequence[Slot], memory: Mapping[str, int]) -> None:
        """`memory`: bytes of each device."""
        self.slots = list(slots)
        self._memory = memory
        self._held: dict[Slot, Claim] = {}

    def offer(self) -> Offer | None:
        """What a job could have now; None if every slot is held."""
        free = [slot for slot in self.slots if slot not in self._held]
        if not free:
            return None
        device = max((slot.device for slot in free), key=self._free_memory)
        return Offer(device, self._idle(free), len(self._most()), self._free_memory(device), self._memory[device])

    def take(self, claim: Claim) -> None:
        """Gives a claim a free slot on each of its devices."""
        for device in claim.devices:
            slot = next(slot for slot in self.slots if slot.device == device and slot not in self._held)
            self._held[slot] = claim

    def free(self, claim: Claim) -> bool:
        """Takes a claim's slots back; false if it holds none any more."""
        mine = [slot for slot, holder in self._held.items() if holder is claim]
        for slot in mine:
            del self._held[slot]
        return bool(mine)

    def _free_memory(self, device: str) -> int:
        held = {id(claim): claim for slot, claim in self._held.items() if slot.device == device}
        used = sum(claim.memory_bytes * claim.devices.count(device) for claim in held.values())
        return max(self._memory[device] - used, 0)

    def _idle(self, free: Sequence[Slot]) -> tuple[str, ...]:
        """Free slots on the CPU, and GPUs without any job."""
        busy = {slot.device for slot in self._held}
        gpus = {slot.device for slot in free if slot.device != "cpu" and slot.device not in busy}
        return tuple(slot.device for slot in free if slot.device == "cpu") or tuple(sorted(gpus))

    def _most(self) -> tuple[str, ...]:
        gpus = {slot.device for slot in self.slots if slot.device != "cpu"}
        return tuple(gpus) or tuple(slot.device for slot in self.slots)
