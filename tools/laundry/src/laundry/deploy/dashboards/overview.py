"""The first dashboard: is it working, where is it stuck, since when, whose fault."""

from laundry.deploy.dashboards.panels import FAILED, Dashboard, Row, number, quantile, requests, series

WORKING = Row(
    "Is it working?",
    (
        number(
            "Processes down",
            "Processes that Prometheus cannot ask. 0 is healthy.",
            "sum(up == bool 0)",
            bad_from=1,
        ),
        number(
            "Firing alerts",
            "Without the watchdog, which always fires.",
            'count(ALERTS{alertstate="firing",alertname!="LaundryWatchdog"}) or vector(0)',
            bad_from=1,
        ),
        number(
            "Requests answered",
            "Share of all requests that were not answered with an error of ours (5xx).",
            f"1 - (sum({requests('count', FAILED)}) or vector(0)) / sum({requests('count')})",
            unit="percentunit",
            bad_below=0.999,
        ),
        number(
            "Photos read",
            "A minute, over the last five.",
            "60 * sum(rate(laundry_photos_read_total[5m]))",
        ),
        number(
            "A fault's push, 99 %",
            "From a fault's detection to the push service's answer. The objective is 15 s.",
            quantile(0.99, "rate(laundry_fault_push_seconds_bucket[5m])"),
            unit="s",
            bad_from=15,
        ),
        number(
            "Dead letters",
            "Messages that wait for a person.",
            "sum(max by (queue) (laundry_dead_letters))",
            bad_from=1,
        ),
    ),
)

STUCK = Row(
    "Where is it stuck?",
    (
        series(
            "Messages in a queue",
            "Ready, and taken but not finished.",
            ("max by (queue) (laundry_queue_messages)", "{{queue}}"),
        ),
        series(
            "Oldest message of a queue",
            "About how long the oldest message has waited.",
            ("max by (queue) (laundry_queue_oldest_seconds)", "{{queue}}"),
            unit="s",
        ),
        series(
            "Consumers of a queue",
            "0 means that nobody takes its messages.",
            ("max by (queue) (laundry_queue_consumers)", "{{queue}}"),
        ),
        series(
            "Outboxes",
            "Events that are stored and not yet published: rows, by service.",
            ("max by (job) (laundry_outbox_waiting)", "{{job}}"),
        ),
        series(
            "Faults that wait for a phone",
            "The oldest fault that nobody was told of.",
            ("max(laundry_faults_waiting_oldest_seconds)", "oldest"),
            unit="s",
        ),
        series(
            "Consuming held",
            "1 while messages are held as a server is away, or a publisher by an alarm of the broker.",
            ("max by (job, dependency) (laundry_consumer_paused)", "{{job}} waits for {{dependency}}"),
            ("max by (job) (laundry_publisher_blocked)", "{{job}}: broker blocks"),
        ),
    ),
)

SINCE = Row(
    "Since when?",
    (
        series(
            "Alerts",
            "Each line begins when its alert began to fire. The watchdog always fires.",
            ('max by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
        ),
        series(
            "In and out",
            "Messages published and handled a second: they part where something began to be stuck.",
            ("sum(rate(laundry_events_published_total[5m]))", "published"),
            ('sum(rate(laundry_events_consumed_total{outcome="ok"}[5m]))', "handled"),
        ),
        series(
            "Oldest event of an outbox",
            "It grows by a second a second from the moment on at which publishing stopped.",
            ("max by (job) (laundry_outbox_oldest_seconds)", "{{job}}"),
            unit="s",
        ),
        series(
            "Oldest unfinished message",
            "Taken and neither acknowledged nor returned, by what it waits for.",
            (
                "max by (queue, state) (laundry_consumer_oldest_unacked_seconds)",
                "{{queue}} {{state}}",
            ),
            unit="s",
        ),
        series(
            "Processes started",
            "Age of each process: a restart is a fall to 0.",
            ("min by (job) (time() - process_start_time_seconds)", "{{job}}"),
            unit="s",
        ),
        series(
            "Models served",
            "Replicas by the model version that they read with.",
            ("count by (version) (laundry_model_served == 1)", "{{version}}"),
        ),
    ),
)

FAULT = Row(
    "Whose fault?",
    (
        series(
            "Requests that failed, by service",
            "Errors of ours (5xx) a second.",
            (
                f"sum by (job) ({requests('count', FAILED)}) or 0 * sum by (job) ({requests('count')})",
                "{{job}}",
            ),
            unit="reqps",
        ),
        series(
            "Messages that failed, by queue",
            "Retried, dead or returned, a second.",
            (
                'sum by (queue) (rate(laundry_events_consumed_total{outcome!="ok"}[5m]))'
                " or 0 * sum by (queue) (rate(laundry_events_consumed_total[5m]))",
                "{{queue}}",
            ),
        ),
        series(
            "Servers that were away",
            "How often messages had to be held, by the server that they wait for, in an hour.",
            ("sum by (dependency) (increase(laundry_consumer_outages_total[1h]))", "{{dependency}}"),
        ),
        series(
            "Publishes that failed",
            "unavailable: the broker; refused: a full queue; unroutable: the topology.",
            ("sum by (cause) (rate(laundry_events_publish_failed_total[5m]))", "{{cause}}"),
        ),
        series(
            "Push services",
            "Pushes a second by verdict: later and refused are theirs, or our credentials'.",
            ("sum by (verdict) (rate(laundry_push_requests_total[5m]))", "FCM: {{verdict}}"),
        ),
        series(
            "Requests that a service did not answer",
            "As the pages saw it.",
            ("sum by (service) (rate(laundry_web_upstream_failures_total[5m]))", "{{service}}"),
        ),
        series(
            "Broker: room",
            "Free disk over its limit (below 2 is little), and memory over its limit (1 blocks publishers).",
            (
                "min(rabbitmq_disk_space_available_bytes / rabbitmq_disk_space_available_limit_bytes)",
                "disk",
            ),
            (
                "max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                "memory",
            ),
        ),
        series(
            "Processor",
            "Cores in use, by service.",
            ("sum by (job) (rate(process_cpu_seconds_total[5m]))", "{{job}}"),
        ),
        series(
            "Memory",
            "Resident, the largest replica of each service.",
            ("max by (job) (process_resident_memory_bytes)", "{{job}}"),
            unit="bytes",
        ),
        series(
            "Refused callers",
            "Requests and logins that were denied, in ten minutes, by why.",
            ("sum by (code) (increase(laundry_denials_total[10m]))", "{{code}}"),
        ),
    ),
)

OVERVIEW = Dashboard(
    "laundry-overview",
    "Laundry: is it working?",
    "In order: is it working, where is it stuck, since when, whose fault.",
    (WORKING, STUCK, SINCE, FAULT),
)
