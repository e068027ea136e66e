"""What the chart's values change, and which of them it refuses together."""

import json
import shlex
from typing import Any

import jsonschema
import pytest
import yaml

from laundry.deploy import chart, values
from laundry.deploy.objects import parsed
from laundry_catalogue import SERVICES, Need, database_owners
from laundry_events.broker_settings import NO_BUSY_WAITING
from laundry_events.topology import PLAN, VHOST
from laundry_servers.errors import LaundryError
from tests.deploy.test_chart import SCHEMA, helm_with, named, refusal, rendered

TRUSTED = {"SSL_CERT_FILE", "PGSSLROOTCERT", "AWS_CA_BUNDLE"}
MIGRATIONS = "laundry-migrations"
OWN_BROKER = ("--set", "rabbitmq.enabled=false", "--set", "rabbitmq.tls.enabled=false")


def own_servers(*arguments: str) -> list[dict[str, Any]]:
    done = helm_with("own-servers-values", *arguments)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pods that Deployments and Jobs make, by their name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in {"Deployment", "Job"}
    }


def environment(pod: dict[str, Any], container: int = 0) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("valueFrom", {}).get("secretKeyRef"))
        for each in pod["containers"][container]["env"]
    }


def environments(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each container, by its name."""
    return {each["name"]: environment(pod, number) for number, each in enumerate(pod["containers"])}


def test_with_tls_every_process_trusts_the_broker_s_authority_and_migrations_do_not_wait_for_it() -> None:
    objects = rendered()
    [certificate] = [
        each for each in objects if each["kind"] == "Certificate" and "rabbitmq" in each["metadata"]["name"]
    ]
    assert "*.laundry-rabbitmq-nodes.laundry" in certificate["spec"]["dnsNames"]
    assert "mqtt.laundry.example" in certificate["spec"]["dnsNames"]
    broker = named(objects, "RabbitmqCluster", "laundry-rabbitmq")["spec"]
    assert broker["tls"] == {
        "secretName": certificate["spec"]["secretName"],
        "disableNonTLSListeners": True,
    }
    for name, pod in pods(objects).items():
        told = {each for given in environments(pod).values() for each in TRUSTED & given.keys()}
        sources = [volume for volume in pod["volumes"] if volume["name"] == "authorities"]
        if name == MIGRATIONS:
            # They run before the broker's certificate is made.
            assert not told and not sources, name
            continue
        assert told == TRUSTED, name
        assert "laundry-rabbitmq-tls" in json.dumps(sources), name
        assert pod["initContainers"][0]["command"][2] == "laundry_service.authorities"
    asked = environment(pods(objects)["laundry-operations"])["LAUNDRY_MANAGEMENT_URLS"]
    assert asked == '["https://laundry-rabbitmq:15671"]'


def variables(broker: dict[str, Any]) -> list[str]:
    """What the nodes' environment file, which a shell reads, sets."""
    return [line.partition("=")[2] for line in shlex.split(broker["rabbitmq"]["envConfig"], comments=True)]


def test_nodes_of_the_broker_show_each_other_their_certificate_and_are_spread_over_zones() -> None:
    objects = rendered()
    broker = named(objects, "RabbitmqCluster", "laundry-rabbitmq")["spec"]
    pod = broker["override"]["statefulSet"]["spec"]["template"]["spec"]
    [spread] = pod["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert named(objects, "PodDisruptionBudget", "laundry-rabbitmq")["spec"]["maxUnavailable"] == 1
    server, ctl = variables(broker)
    assert server.endswith(ctl)
    assert "-proto_dist inet_tls" in ctl
    config = named(objects, "ConfigMap", "laundry-rabbitmq-between-nodes")["data"]["tls.config"]
    assert config.count("{verify, verify_peer}") == 2
    assert config.count("{fail_if_no_peer_cert, true}") == 1
    plain = rendered("--set", "rabbitmq.tls.betweenNodes=false")
    assert variables(named(plain, "RabbitmqCluster", "laundry-rabbitmq")["spec"]) == [NO_BUSY_WAITING]


def test_the_broker_s_certificate_has_each_name_by_which_nodes_call_each_other() -> None:
    """As the Cluster Operator names them; replicas of streams try the pod's own name first."""
    objects = rendered("--set", "rabbitmq.replicas=5")
    names = named(objects, "Certificate", "laundry-rabbitmq")["spec"]["dnsNames"]
    for pod in (f"laundry-rabbitmq-server-{number}" for number in range(5)):
        assert {pod, f"{pod}.laundry-rabbitmq-nodes.laundry"} <= set(names)


def test_servers_by_value_leave_only_passwords_to_the_secrets() -> None:
    objects = own_servers()
    given = environment(pods(objects)["laundry-helper"])
    assert given["LAUNDRY_AMQP_URL"] == f"amqps://helper:$(BROKER_PASSWORD)@rabbitmq.example:5671/{VHOST}"
    assert given["LAUNDRY_DATABASE_URL"] == (
        "postgresql://helper:$(DATABASE_PASSWORD)@postgresql.example:5432/helper"
    )
    assert given["PGSSLMODE"] == "verify-full"
    # A key that is somewhere else.
    assert given["DATABASE_PASSWORD"] == {"name": "helper-database", "key": "password"}
    assert given["BROKER_PASSWORD"] == {"name": "laundry-helper", "key": "amqp-password"}
    [firebase] = [each for each in pods(objects)["laundry-notification"]["volumes"] if each["name"] == "fcm"]
    assert firebase["secret"]["secretName"] == "firebase"
    assert firebase["secret"]["items"][0]["key"] == "account.json"
    owner = environments(pods(objects)[MIGRATIONS])["mlops"]["LAUNDRY_DATABASE_OWNER_URL"]
    assert owner.startswith("postgresql://mlops_owner:$(DATABASE_OWNER_PASSWORD)@")
    for name, pod in pods(objects).items():
        for given in environments(pod).values():
            assert given.keys() >= TRUSTED, f"{name} does not trust the authority"
        assert "our-authority" in json.dumps(pod["volumes"])


def test_what_a_process_s_values_say_is_in_its_pod_and_in_no_other() -> None:
    objects = own_servers("--kube-version", "1.34.0")
    helper = pods(objects)["laundry-helper"]
    assert helper["priorityClassName"] == "laundry"
    assert helper["containers"][0]["image"].endswith("/helper:0.1.0@sha256:" + 64 * "0")
    assert environment(helper)["TZ"] == "Asia/Seoul"
    assert {"name": "spare", "mountPath": "/spare"} in helper["containers"][0]["volumeMounts"]
    assert "affinity" in helper
    account = named(objects, "ServiceAccount", "laundry-helper")
    assert account["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/helper"
    }
    other = pods(objects)["laundry-search"]
    assert not {"priorityClassName", "affinity"} & other.keys()
    assert "TZ" not in environment(other)
    for name, pod in pods(objects).items():
        # None runs under the namespace's default account, whose rights others decide.
        assert named(objects, "ServiceAccount", pod["serviceAccountName"]), name
        if "migration" in name or "topology" in name:
            assert pod["priorityClassName"] == "laundry-jobs"
    backup = ("--set", "backup.enabled=true", "--set", "backup.claim=backups")
    [job] = [each for each in own_servers(*backup) if each["kind"] == "CronJob"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("laundry-backup", "laundry-jobs")


def test_a_migration_that_cannot_succeed_is_not_run_again() -> None:
    job = named(rendered("--kube-version", "1.34.0"), "Job", MIGRATIONS)
    [rule] = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    # A database that is away; SIGKILL and SIGTERM: the pod was moved. Of whichever container.
    assert rule["onExitCodes"] == {"operator": "NotIn", "values": [75, 137, 143]}
    # Code that is older than its database ends so, before any pod is replaced, and is there to be read.
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"
    assert "hook-failed" not in annotations["helm.sh/hook-delete-policy"]


def test_each_database_is_migrated_by_its_own_service_with_no_other_s_login() -> None:
    migrations = pods(own_servers("--kube-version", "1.34.0"))[MIGRATIONS]
    given = environments(migrations)
    assert given.keys() == database_owners(SERVICES).keys()
    for service, variables in given.items():
        [container] = [each for each in migrations["containers"] if each["name"] == service]
        assert container["command"][-1] == database_owners(SERVICES)[service]
        assert f"/{service}:" in container["image"]
        secrets = {each["name"] for each in variables.values() if isinstance(each, dict) and "name" in each}
        assert all(service in secret for secret in secrets), f"{service} is given {secrets}"


def test_readers_are_scaled_by_what_waits_and_is_being_read_in_the_queues_of_the_plan() -> None:
    objects = rendered()
    scaled = named(objects, "ScaledObject", "laundry-ai-consumer")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (3, 10)
    queues = [each["metadata"]["queueName"] for each in scaled["triggers"]]
    assert queues == [queue.name for queue in PLAN.consumed_by("ai-consumer") if queue.kind == "quorum"]
    # Over AMQP KEDA would count what is ready only.
    assert {each["metadata"]["protocol"] for each in scaled["triggers"]} == {"http"}
    assert "replicas" not in named(objects, "Deployment", "laundry-ai-consumer")["spec"]
    assert named(objects, "Deployment", "laundry-helper")["spec"]["replicas"] == 2
    broker = json.dumps(named(objects, "NetworkPolicy", "laundry-rabbitmq")["spec"])
    assert '{"kubernetes.io/metadata.name": "keda"}' in broker
    fallback = own_servers()
    kinds = {each["kind"] for each in fallback}
    assert "HorizontalPodAutoscaler" in kinds and "ScaledObject" not in kinds
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & {
        each["kind"] for each in rendered("--set", "autoscaling.by=")
    }


def test_a_gateway_s_routes_lead_where_the_ingress_does() -> None:
    routes = {each["metadata"]["name"]: each["spec"] for each in own_servers() if each["kind"] == "HTTPRoute"}
    assert {name: route["hostnames"] for name, route in routes.items()} == {
        "laundry-web": ["laundry.example"],
        "laundry-identity": ["sign-in.example"],
    }
    for name, route in routes.items():
        assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
        assert route["rules"][0]["backendRefs"] == [{"name": name, "port": 8000}]
    web = environment(pods(own_servers())["laundry-web"])
    assert web["LAUNDRY_PUBLIC_HTTPS"] == "true"


def test_helm_test_holds_the_signing_key_in_one_container_only_and_reaches_web_alone() -> None:
    objects = rendered()
    pod = named(objects, "Pod", "laundry-test")["spec"]
    assert "secretKeyRef" in json.dumps(pod["initContainers"])
    assert "secret" not in json.dumps(pod["containers"][0]).lower()
    [rule] = named(objects, "NetworkPolicy", "laundry-test")["spec"]["egress"]
    assert rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "web"
    lets_in = json.dumps(named(objects, "NetworkPolicy", "laundry-web")["spec"]["ingress"])
    assert '"laundry/job": "test"' in lets_in
    given = named(rendered("--set", "tests.tokenSecret=a-helper"), "Pod", "laundry-test")["spec"]
    assert "initContainers" not in given


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--set", "gateway.enabled=true"), "two ways to the same pages"),
        (
            ("--set", "ingress.enabled=false,ingress.issuer.name=,gateway.enabled=true"),
            "needs gateway.parentRefs",
        ),
        (("--set", "ingress.enabled=false"), "there is no Ingress"),
        (("--set", "rabbitmq.tls.issuer.name="), "needs a certificate"),
        (("--set", "rabbitmq.tls.secret=x"), "two sources of one certificate"),
        (("--set", "rabbitmq.enabled=false"), "for a broker of your own set broker.tls"),
        (("--set", "broker.tls=true"), "is for a broker of your own"),
        (("--set", "topology.managementHost=x"), "makes another"),
        ((*OWN_BROKER, "--set", "broker.tls=true"), "without broker.host changes nothing"),
        ((*OWN_BROKER, "--set", "broker.host=x"), "set topology.adminSecret"),
        (
            (*OWN_BROKER, "--set", "topology.enabled=false"),
            "set topology.managementHost, or broker.host",
        ),
        (("--set", "ca.configMap=x,ca.secret=y"), "two places of one authority"),
        (("--set", "database.sslMode=verify-full"), "needs to know who signed"),
        (("--set", "autoscaling.services.ai-consumer.min=11"), "min is 11 and max only 10"),
        (
            ("--set-json", 'autoscaling.services={"readers":{"min":1,"max":2,"messages":1,"cpu":80}}'),
            "there is no such process",
        ),
        (
            ("--set-json", 'autoscaling.services={"web":{"min":1,"max":2,"messages":1,"cpu":80}}'),
            "no queue that KEDA could count",
        ),
        (
            ("--set", "autoscaling.by=cpu,services.ai-consumer.resources.requests.cpu=null"),
            "compares with what ai-consumer requests",
        ),
        (("--set", "identity.issuer=https://x.example"), "name another provider"),
        (("--set", "training.jobs=process"), "runs as a Job"),
        (("--set", "alerts.enabled=false"), "silences alerts that bear this namespace"),
    ],
)
def test_values_that_make_no_sense_together_are_refused_in_a_sentence(
    arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(*arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"autoscaling": {"by": "both"}},
        {"image": {"digests": {"helper": "latest"}}},
        {"image": {"digests": {"helpers": f"sha256:{64 * '0'}"}}},
        {"secrets": {"helper": {"database-urI": {"name": "x", "key": "uri"}}}},
        {"secrets": {"helpers": {}}},
        {"services": {"helper": {"extraEnvs": []}}},
        {"database": {"sslMode": "yes"}},
        {"database": {"password": "x"}},
        {"tests": {"branch": "Not A Branch"}},
        {"rabbitmq": {"tls": {"issuer": {"name": "x", "kind": "Certificate"}}}},
    ],
)
def test_the_schema_knows_every_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_every_key_of_a_secret_may_lie_elsewhere() -> None:
    known = SCHEMA["properties"]["secrets"]["properties"]
    for service in SERVICES:
        for need, keys in chart.SECRET_KEYS.items():
            if need in service.needs:
                assert set(keys) <= known[service.name]["properties"].keys()
        assert ("database-password" in known[service.name]["properties"]) == (Need.DATABASE in service.needs)


def test_the_broker_reads_its_secret_for_equipment_where_monitoring_does() -> None:
    place = "secrets.monitoring.mqtt-auth-secret"
    objects = rendered("--set", f"{place}.name=equipment", "--set", f"{place}.key=asked-with")
    broker = named(objects, "RabbitmqCluster", "laundry-rabbitmq")["spec"]["override"]["statefulSet"]["spec"]
    read = environment(broker["template"]["spec"])["LAUNDRY_MQTT_AUTH_SECRET"]
    assert read == {"name": "equipment", "key": "asked-with"}
    assert environment(pods(objects)["laundry-monitoring"])["LAUNDRY_MQTT_AUTH_SECRET"] == read


def test_the_readme_says_what_the_default_requests_add_up_to() -> None:
    services = yaml.safe_load(chart.VALUES_FILE.read_text())["services"].values()
    asked = [(each["replicas"], each["resources"]["requests"]) for each in services]
    cores = sum(number * int(requests["cpu"].removesuffix("m")) for number, requests in asked) / 1000
    memory = sum(number * int(requests["memory"].removesuffix("Mi")) for number, requests in asked) / 1024
    assert f"{cores:.3g} cores and {memory:.1f} GiB, without the broker" in chart.README.read_text()


def test_the_schema_says_of_every_value_what_values_yaml_says() -> None:
    for value in values.values(chart.VALUES_FILE.read_text()):
        place: dict[str, Any] = SCHEMA
        for name in value.path:
            place = place["properties"][name] if "$ref" not in place else place
        assert "$ref" in place or place["description"] == value.meaning
        assert value.meaning or value.path == ("services",)


def test_a_value_without_a_word_or_without_a_schema_is_found() -> None:
    schema = json.loads(chart.SCHEMA_FILE.read_text())
    with pytest.raises(LaundryError, match="does not say what ca is"):
        values.table("ca: {}\n", schema)
    with pytest.raises(LaundryError, match=r"does not know ca\.path"):
        values.described(schema, "# An authority.\nca:\n  # A path.\n  path: x\n")
    assert '| `ca.key` | `"a"` | One \\| two. |' in values.table(
        "# An authority.\nca:\n  # One |\n  # two.\n  key: a\n", schema
    )


def test_every_command_of_ours_has_somewhere_to_write() -> None:
    backup = ("--set", "backup.enabled=true", "--set", "backup.at=s3://backups/laundry")
    objects = rendered(*backup)
    jobs = [each["spec"]["jobTemplate"] for each in objects if each["kind"] == "CronJob"]
    specs = [each["spec"]["template"]["spec"] for each in (*jobs, *objects) if _has_pods(each)]
    specs += [each["spec"] for each in objects if each["kind"] == "Pod"]
    found = [
        (spec, each)
        for spec in specs
        for each in spec["containers"]
        if each.get("command", [""])[0] == "laundry"
    ]
    assert len(found) >= 3
    for spec, container in found:
        # It keeps what it did there, or does nothing: the rest of its file system cannot be written.
        said = {each["name"]: each.get("value") for each in container["env"]}["LAUNDRY_VAR_DIR"]
        mount = next(each for each in container["volumeMounts"] if each["mountPath"] == said)
        volume = next(each for each in spec["volumes"] if each["name"] == mount["name"])
        assert "emptyDir" in volume and not mount.get("readOnly"), container["name"]


def _has_pods(each: dict[str, Any]) -> bool:
    return "template" in each.get("spec", {}) and "spec" in each["spec"]["template"]
