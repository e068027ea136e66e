"""Faults as monitoring answers of them: open in the equipment that the tests break, and closed ones."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from .fake_services import FakeServices

Item = dict[str, Any]
NEW: Item = {
    "handling": "open",
    "acknowledged_at": None,
    "acknowledged_by": None,
    "escalation": 0,
    "cleared_at": None,
}


class FakeFaults:
    """What is over, and who was the last to take care of something."""

    def __init__(self) -> None:
        self.closed: list[Item] = []
        self.taken: list[str] = []
        # Who it is that a test takes care as.
        self.me = "owner-1"

    def close(self, machine: Item, at: str) -> None:
        """Let the faults of a machine be over."""
        for fault in machine["open_faults"]:
            self.closed.insert(0, self.of(machine, {**fault, "handling": "closed", "cleared_at": at}))

    def of(self, machine: Item, fault: Item) -> Item:
        """Return a fault with its machine."""
        return {
            **fault,
            "equipment_id": machine["id"],
            "branch_id": machine["branch_id"],
            "kind": machine["kind"],
        }

    def change(self, services: "FakeServices", fault_id: str, **changes: Any) -> Item:
        """Change an open fault, as another person or the time does; listeners are told."""
        for machine in services.equipment.values():
            for fault in machine["open_faults"]:
                if fault["id"] == fault_id:
                    fault.update(changes)
                    services.tell("equipment", machine)
                    return self.of(machine, fault)
        raise Problem(409, "fault-closed", "In English.")

    def add_to(self, app: FastAPI, services: "FakeServices") -> None:
        @app.get("/faults")
        async def listed(handling: Annotated[list[str], Query()], limit: int = 50) -> Item:
            there = [
                self.of(machine, fault)
                for machine in services.equipment.values()
                for fault in machine["open_faults"]
            ]
            found = [fault for fault in there + self.closed if fault["handling"] in handling]
            return {"items": found[:limit], "next_cursor": None}

        @app.post("/faults/{fault_id}/acknowledgement")
        async def acknowledge(fault_id: str) -> Item:
            if "acknowledge" in services.refuse:
                raise services.refuse["acknowledge"]
            self.taken.append(fault_id)
            return self.change(
                services,
                fault_id,
                handling="acknowledged",
                acknowledged_by=self.me,
                acknowledged_at=services.at(),
            )
