"""What MLOps holds of people: who confirmed an example, who promoted a model, who asked for a run."""

import sqlalchemy as sa

from laundry_service.personal_data.held import PERSON, TOMBSTONE, Held, equals
from mlops.tables import promotions, training_examples, training_runs

HELD = (
    Held(
        "examples",
        training_examples,
        equals(training_examples.c.confirmed_by),
        # The same for all of them: how careful one and the same person is still counts.
        becomes={"confirmed_by": TOMBSTONE},
        shown=("task_id", "branch_id", "labels", "corrected", "confirmed_at"),
    ),
    Held(
        "promotions",
        promotions,
        equals(promotions.c.promoted_by),
        becomes={"promoted_by": TOMBSTONE},
        shown=("version", "kind", "override_reason", "promoted_at"),
    ),
    Held(
        "training_runs",
        training_runs,
        equals(training_runs.c.requested_by),
        becomes={"requested_by": TOMBSTONE},
        shown=("id", "kind", "status", "created_at"),
    ),
    Held(
        "label_quality",
        training_runs,
        training_runs.c.care.has_key(PERSON),
        becomes={"care": training_runs.c.care.op("-")(sa.cast(PERSON, sa.Text))},
        shown=(),
    ),
)
