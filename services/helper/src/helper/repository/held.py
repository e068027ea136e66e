"""What the helper service holds of people.

Photos are the branch's laundry and stay until their time; the file as it was sent may tell where and with
whose phone it was taken, so of a person who is erased only the pictures made of it remain.
"""

from helper.tables import photo_policies, submissions, tasks
from laundry_service.personal_data.held import TOMBSTONE, Held, equals

HELD = (
    Held("submissions", submissions, equals(submissions.c.helper_id)),
    Held(
        "tasks",
        tasks,
        equals(tasks.c.helper_id),
        becomes={"helper_id": TOMBSTONE, "note": None, "only_pictures": True},
    ),
    Held(
        "confirmations",
        tasks,
        equals(tasks.c.confirmed_by),
        becomes={"confirmed_by": TOMBSTONE},
        shown=("id", "branch_id", "confirmed_labels", "corrected", "confirmed_at"),
    ),
    Held(
        "photo_policies",
        photo_policies,
        equals(photo_policies.c.changed_by),
        becomes={"changed_by": TOMBSTONE},
    ),
)
