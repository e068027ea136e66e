"""What operators do with the chart, done in a real cluster: each step says what was seen."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laundry_cluster import before, release, training
from laundry_cluster.installation import NAMESPACE, POLL_S, RELEASE, Installation, told
from laundry_cluster.node import FIRST, SECOND
from laundry_servers.errors import LaundryError

POLICY = Path(__file__).with_name("psp.yaml")
READERS = f"{RELEASE}-ai-consumer"
DRAIN_S = 180
READERS_S, RAISED = 180.0, 3
BACKUP_S = 240


@dataclass(frozen=True, slots=True)
class Step:
    """Something that operators do, by a short name and in words."""

    name: str
    title: str
    act: Callable[[Installation], str]


def prepare(here: Installation) -> str:
    """Do what the chart's README asks for before the installation."""
    here.cluster.kubectl("create", "namespace", NAMESPACE)
    here.cluster.kubectl("apply", "--filename", str(POLICY))
    return f"{give(here)} Secrets; pods as strict as `restricted`"


def give(here: Installation) -> int:
    """Write the Secrets and the copy of the chart; returns how many Secrets."""
    named = release.secrets_of(here.facts)
    written = release.write_secrets(here.folder / "secrets.json", named)
    here.kubectl("apply", "--filename", str(written))
    release.copy_chart(here.chart)
    return len(named)


def install(here: Installation) -> str:
    """Install the chart and wait until every pod is ready."""
    took = here.apply()
    return f"{len(here.pods())} pods ready after {took:.0f} s"


def test(here: Installation) -> str:
    """Run the chart's own test."""
    here.helm("test", RELEASE, "--timeout", "180s")
    return here.kubectl("logs", f"{RELEASE}-test", "--container", "test").strip().splitlines()[-1]


def story(here: Installation) -> str:
    """Let one of everything happen."""
    said = here.ask("story")
    here.remember(task=said["task"])
    return f"read after {said['read_s']} s, confirmed; a fault rang after {said['rung_s']} s"


def again(here: Installation) -> str:
    """Nothing may be restarted by what changes nothing."""
    pods = here.pods()
    took = here.apply()
    if here.pods() != pods:
        raise LaundryError("The same values replaced pods.")
    return f"no pod was replaced ({took:.0f} s)"


def scale(here: Installation) -> str:
    """Let an autoscaler have the readers, raise what it aims at, and take it away while they read."""
    with here.ledger() as books:
        began = time.monotonic()
        readers = {"min": RAISED, "max": RAISED, "messages": 20, "cpu": 80}
        here.apply(hooks=False, autoscaling={"by": "cpu", "services": {"ai-consumer": readers}})
        _readers(here, RAISED)
        took = time.monotonic() - began
        here.apply(hooks=False)
        if here.get("deployment", READERS)["spec"]["replicas"] != 1:
            # As the notes say: before it was removed, the autoscaler has set the number once more.
            here.apply(hooks=False)
        _readers(here, 1)
    return f"{RAISED} readers after {took:.0f} s, then 1 again; {told(books)}"


def _readers(here: Installation, number: int) -> None:
    end = time.monotonic() + READERS_S
    while True:
        status = here.get("deployment", READERS)["status"]
        if status.get("replicas") == status.get("readyReplicas") == number:
            return
        if time.monotonic() > end:
            raise LaundryError(f"{status.get('readyReplicas', 0)} readers are ready, not {number}.")
        time.sleep(POLL_S)


def back_up(here: Installation) -> str:
    """Turn the backup's schedule on, and do not wait for the night."""
    here.apply(hooks=False, backup=release.backup(here.facts))
    here.kubectl("delete", "job", "backup-now", "--ignore-not-found")
    here.kubectl("create", "job", "backup-now", f"--from=cronjob/{RELEASE}-backup")
    end = time.monotonic() + BACKUP_S
    while not (done := here.get("job", "backup-now")["status"].get("conditions")):
        if time.monotonic() > end:
            raise LaundryError(f"The backup took longer than {BACKUP_S} s.")
        time.sleep(POLL_S)
    words = here.kubectl("logs", "job/backup-now", "--container", "backup").strip()
    if done[0]["type"] != "Complete":
        raise LaundryError(f"The backup failed: {words[-800:]}")
    return " ".join(words.split()).rpartition("✓ ")[2]


def kill(here: Installation) -> str:
    """Kill a pod of each Deployment at once, without grace, while people upload."""
    names = sorted(here.pods())
    with here.ledger() as books:
        began = time.monotonic()
        here.kubectl("delete", "pods", "--grace-period=0", "--force", *names)
        here.settled()
        took = time.monotonic() - began
    return f"{len(names)} killed, all ready again after {took:.0f} s; {told(books)}"


def drain(here: Installation) -> str:
    """Empty a node while people upload: its pods move to another."""
    here.cluster.load(here.cluster.places.images, SECOND)
    with here.ledger() as books:
        began = time.monotonic()
        here.cluster.kubectl("uncordon", SECOND)
        within = ("--timeout", f"{DRAIN_S}s")
        here.cluster.kubectl("drain", FIRST, "--delete-emptydir-data", *within, timeout_s=DRAIN_S + 20)
        here.settled()
        took = time.monotonic() - began
        names = here.pods()
        nodes = {pod["spec"]["nodeName"] for pod in here.get("pods") if pod["metadata"]["name"] in names}
        if nodes != {SECOND}:
            raise LaundryError(f"With {FIRST} drained, pods are on {', '.join(sorted(nodes))}.")
    # What comes next finds the node that has the images of all releases.
    here.cluster.kubectl("uncordon", FIRST)
    here.cluster.kubectl("cordon", SECOND)
    return f"{len(names)} pods moved after {took:.0f} s; {told(books)}"


def reinstall(here: Installation) -> str:
    """Remove the release and install it again: what is in the servers stays."""
    here.remove()
    took = here.apply()
    said = here.ask("look", str(here.remembered["task"]))
    if said["status"] != "confirmed":
        raise LaundryError(f"The earlier task is {said['status']}.")
    return f"back after {took:.0f} s, with the earlier task and its reading"


def upgrade(here: Installation) -> str:
    """On empty servers: the release before, upgraded to this one and rolled back, while people upload."""
    found = before.find()
    if found is None:
        return "left out: this copy has no history with a release before this one"
    here.remove()
    give(here)
    chart = here.folder / "chart-before"
    release.copy_chart(chart, found.chart)
    before.repair(chart)
    installed = here.apply(chart=chart, values=release.values_before(here.facts, found.tag))
    old = here.pods()
    with here.ledger() as books:
        upgraded = here.apply()
        _all_new(old, new := here.pods())
        began = time.monotonic()
        here.helm("rollback", RELEASE, "--wait", "--timeout", "420s")
        back = time.monotonic() - began
        _all_new(new, here.pods())
    return (
        f"{found.version} installed in {installed:.0f} s, upgraded in {upgraded:.0f} s, rolled back in "
        f"{back:.0f} s; {told(books)}"
    )


def _all_new(old: dict[str, Any], now: dict[str, Any]) -> None:
    if left := old.items() & now.items():
        raise LaundryError(f"These were not replaced: {', '.join(sorted(dict(left)))}")


STEPS = (
    Step("prepare", "Namespace, policy and Secrets", prepare),
    Step("install", "helm install", install),
    Step("test", "helm test", test),
    Step("story", "The story through the Services", story),
    Step("training", "A training run as a Job", training.usual),
    Step("memory", "A training run with too little memory", training.without_memory),
    Step("evicted", "A training run that its node throws out", training.thrown_out),
    Step("drained", "A training run whose node is drained", training.drained),
    Step("again", "The same values again", again),
    Step("scale", "The autoscaler's aim raised under load", scale),
    Step("backup", "The backup's CronJob", back_up),
    Step("kill", "A pod of each kind killed under load", kill),
    Step("drain", "A node drained under load", drain),
    Step("reinstall", "Uninstall, and install again", reinstall),
)
# On servers of its own, as the release before must find empty databases.
UPGRADE = Step("upgrade", "The release before, upgraded and rolled back under load", upgrade)
