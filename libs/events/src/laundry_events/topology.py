"""The laundry's plan of its broker: which queues there are, their limits, and who publishes and consumes.

DD-02 §4.4.2.2.1 names the queues and the retries: 1, 2 and 4 s, unless a queue says ``retry_delays_s``.
"""

from laundry_events.plan import CORE_EXCHANGES, MIB, Exchange, Plan, Queue, Service

VHOST = "laundry"
TELEMETRY_EXCHANGE = "laundry.telemetry"

PLAN = Plan(
    exchanges=(
        *CORE_EXCHANGES,
        Exchange(TELEMETRY_EXCHANGE, "equipment samples that arrive by MQTT"),
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
    ),
    services=(
        Service("helper", publishes=("task.submitted", "task.confirmed")),
        Service("ai-consumer", publishes=("task.read",)),
        Service("mlops", publishes=("model.promoted",)),
        Service("monitoring", publishes=("equipment.fault", "equipment.fault.acknowledged")),
        Service("search", publishes=("preference.created", "preference.withdrawn")),
        Service("notification"),
        Service("operations", operates=True),
    ),
    vhost=VHOST,
)
