"""The laundry's plan of its broker: which queues there are, their limits, and who publishes and consumes.

DD-02 §4.4.2.2.1 names the queues and the retries: 1, 2 and 4 s, unless a queue says ``retry_delays_s``.
"""

from laundry_events.plan import (
    CORE_EXCHANGES,
    MIB,
    REPLIES_EXCHANGE,
    REQUESTS_EXCHANGE,
    Exchange,
    Plan,
    Queue,
    RequestQueue,
    Service,
)

VHOST = "laundry"
PERSON_ERASED = "person.erased"
RETRY_ONCE_S = (4,)
"""One retry for queues that carry a message a week: each delay is a queue of its own."""
TELEMETRY_EXCHANGE = "laundry.telemetry"
HISTORY = "laundry.history"
"""The stream of every event, which names no person."""

HISTORY_INTAKE = "history.intake"
HISTORY_EXCHANGE = "laundry.keep"

PLAN = Plan(
    exchanges=(
        *CORE_EXCHANGES,
        Exchange(TELEMETRY_EXCHANGE, "equipment samples that arrive by MQTT"),
        Exchange(HISTORY_EXCHANGE, "what goes into the history: events without the names of people"),
        Exchange(REQUESTS_EXCHANGE, "what is to be answered within seconds"),
        Exchange(REPLIES_EXCHANGE, "the answers, each to the process that asked"),
    ),
    queues=(
        Queue("task.submitted", ("task.submitted",), "ai-consumer", "photos to read"),
        Queue("task.read", ("task.read",), "helper", "readings on their way back to the task"),
        Queue("task.confirmed", ("task.confirmed",), "mlops", "examples to learn from"),
        Queue("equipment.fault", ("equipment.fault",), "notification", "faults to push within seconds"),
        Queue(
            "equipment.fault.acknowledged",
            ("equipment.fault.acknowledged",),
            "notification",
            "faults that ring nobody else",
        ),
        Queue("preference.created", ("preference.created",), "notification", "matches to tell customers of"),
        Queue("preference.withdrawn", ("preference.withdrawn",), "notification", "what no customer is told"),
        Queue(
            "telemetry.reported",
            ("telemetry.*",),
            "monitoring",
            "equipment samples by MQTT",
            exchange=TELEMETRY_EXCHANGE,
            max_length=100_000,
            max_bytes=256 * MIB,
            dead_max_bytes=64 * MIB,
            untrusted=True,
        ),
        Queue(
            "model.promoted",
            ("model.promoted",),
            "ai-consumer",
            "new champions",
            max_bytes=64 * MIB,
            kind="stream",
        ),
        Queue("photo.deleted", ("photo.deleted",), "mlops", "examples whose photo is gone"),
        *(
            Queue(name, (PERSON_ERASED,), consumer, "people to forget", retry_delays_s=RETRY_ONCE_S)
            for name, consumer in (
                (PERSON_ERASED, "helper"),
                (f"{PERSON_ERASED}.identity", "identity"),
                (f"{PERSON_ERASED}.mlops", "mlops"),
                (f"{PERSON_ERASED}.monitoring", "monitoring"),
                (f"{PERSON_ERASED}.notification", "notification"),
                (f"{PERSON_ERASED}.search", "search"),
            )
        ),
        Queue(
            "person.forgotten",
            ("person.forgotten",),
            "operations",
            "who has forgotten whom",
            retry_delays_s=RETRY_ONCE_S,
        ),
        Queue(
            HISTORY_INTAKE,
            (),
            "operations",
            "events to keep",
            max_length=10_000_000,
            max_bytes=4 * 1024 * MIB,
            retry_delays_s=RETRY_ONCE_S,
            every=True,
        ),
        Queue(
            HISTORY,
            (),
            "operations",
            "what has happened",
            exchange=HISTORY_EXCHANGE,
            max_bytes=20 * 1024 * MIB,
            kind="stream",
            max_age="30D",
            segment_bytes=4 * MIB,
            every=True,
        ),
    ),
    requests=(
        RequestQueue("photo.preview", "helper", "ai-consumer", "photos to read before they are submitted"),
    ),
    services=(
        Service(
            "helper", publishes=("task.submitted", "task.confirmed", "photo.deleted", "person.forgotten")
        ),
        Service("ai-consumer", publishes=("task.read",)),
        Service("mlops", publishes=("model.promoted", "person.forgotten")),
        Service(
            "monitoring", publishes=("equipment.fault", "equipment.fault.acknowledged", "person.forgotten")
        ),
        Service("search", publishes=("preference.created", "preference.withdrawn", "person.forgotten")),
        Service("notification", publishes=("person.forgotten",)),
        Service("identity", publishes=("person.forgotten",)),
        Service("operations", publishes=("person.erased",), exchanges=(HISTORY_EXCHANGE,), operates=True),
    ),
    vhost=VHOST,
)
