"""What the search service holds of people: tastes, matches, and who stated a preference of a branch."""

from laundry_service.personal_data.held import TOMBSTONE, Held, equals
from search.tables import customer_tags, customers, matches, preferences

HELD = (
    Held("tags", customer_tags, equals(customer_tags.c.customer_id), shown=("tag", "weight")),
    Held("tastes", customers, equals(customers.c.id), shown=("updated_at",)),
    Held("matches", matches, equals(matches.c.customer_id), shown=("preference_id", "score", "reasons")),
    Held(
        "preferences",
        preferences,
        equals(preferences.c.created_by),
        # What a branch is like is the branch's own; the key is the person's choice of words.
        becomes={"created_by": TOMBSTONE, "idempotency_key": None},
        shown=("id", "branch_id", "title", "text", "created_at"),
    ),
)
