"""A cluster with servers beside it, and the steps that are done in it, one after another."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from laundry_cluster import before, build, images
from laundry_cluster.installation import Installation, helm
from laundry_cluster.node import SECOND, Cluster, running
from laundry_cluster.places import NODE_ADDRESS, OTHER_ADDRESS, Places
from laundry_cluster.steps import STEPS, UPGRADE, Step
from laundry_servers import rootfs
from laundry_servers.errors import LaundryError
from laundry_servers.progress import Progress, step

SERVERS_S = 240.0
TOOLS = "Tools"
ALL = (*STEPS, UPGRADE)


@contextmanager
def beside(cluster: Cluster, folder: Path, address: str) -> Iterator[None]:
    """The servers that a company brings, at one of the node's addresses. Raises LaundryError."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "facts.json"
    facts.unlink(missing_ok=True)
    cluster.run("ip", "address", "replace", f"{address}/24", "dev", "node0")
    with (folder / "servers.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [*cluster.entering, sys.executable, "-m", "laundry_cluster.servers", str(folder), address],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + SERVERS_S
        while not facts.exists():
            if process.poll() is not None or time.monotonic() > end:
                tail = (folder / "servers.log").read_text(errors="replace")[-1500:]
                raise LaundryError(f"The servers beside the cluster did not start:\n{tail}")
            time.sleep(0.3)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def make(places: Places, progress: Progress) -> None:
    """Make what is kept between runs, unless it is there. Raises LaundryError."""
    meanwhile = ThreadPoolExecutor(1)
    try:
        parts = (_make_servers, _make_images, _make_images_before)
        others = [meanwhile.submit(each, places, progress) for each in parts]
        build.ensure(places, progress)
        for each in others:
            each.result()
    finally:
        meanwhile.shutdown(cancel_futures=True)


def _make_servers(_places: Places, progress: Progress) -> None:
    rootfs.ensure(progress)


def _make_images(places: Places, progress: Progress) -> None:
    with step(progress, "Images"):
        images.ensure(places, images.present(), places.images)


def _make_images_before(places: Places, progress: Progress) -> None:
    if (found := before.find()) is not None:
        with step(progress, "Images of the release before"):
            images.ensure(places, images.past(found), places.images_before)


def _load(cluster: Cluster) -> None:
    """Let the nodes have what is needed later, while other steps wait for other things."""
    cluster.load(cluster.places.images, SECOND)
    if before.find() is not None:
        cluster.load(cluster.places.images_before)


@contextmanager
def up(folder: Path, progress: Progress) -> Iterator[Cluster]:
    """A cluster with this code's images, and servers beside it, while the block runs. Raises LaundryError."""
    places = Places.usual()
    Cluster(places).check_may_start()
    with step(progress, TOOLS):
        rootfs.install_tools(progress, TOOLS)
        helm()
    make(places, progress)
    progress.started("Cluster")
    with running(places) as cluster, ThreadPoolExecutor(1) as meanwhile:
        progress.finished("Cluster", f"Kubernetes {build.VERSION}, two nodes")
        progress.started("Images in it, and servers")
        loaded = meanwhile.submit(cluster.load, places.images)
        with beside(cluster, folder, NODE_ADDRESS):
            loaded.result()
            progress.finished("Images in it, and servers", "broker, database, object store and phones")
            meanwhile.submit(_load, cluster)
            yield cluster


def chosen(only: Sequence[str], since: str | None) -> list[Step]:
    """Return the steps of these names, or all from one on. Raises LaundryError."""
    names = [each.name for each in ALL]
    if unknown := {*only, *([since] if since else [])} - set(names):
        raise LaundryError(f"No such step: {', '.join(sorted(unknown))}. There are {', '.join(names)}.")
    if only:
        return [each for each in ALL if each.name in only]
    return list(ALL[names.index(since) :]) if since else list(ALL)


def run(folder: Path, progress: Progress) -> None:
    """Do it all in a cluster of its own; ``folder`` takes what a run writes. Raises LaundryError."""
    with up(folder, progress) as cluster:
        do(cluster, folder, ALL, progress)


def do(cluster: Cluster, folder: Path, steps: Sequence[Step], progress: Progress) -> None:
    """Do steps in a running cluster. Raises LaundryError."""
    with ExitStack() as stack:
        for each in steps:
            place = folder
            if each is UPGRADE and before.find() is not None:
                cluster.load(cluster.places.images_before)
                place = folder / "before"
                # The release before must find empty databases.
                shutil.rmtree(place, ignore_errors=True)
                with step(progress, "Servers for it"):
                    stack.enter_context(beside(cluster, place, OTHER_ADDRESS))
            here = Installation(cluster, place)
            progress.started(each.title)
            try:
                progress.finished(each.title, each.act(here))
            except LaundryError as error:
                progress.failed(each.title, str(error))
                raise LaundryError(f"{each.title}: {error}\n{seen(here)}") from error


def seen(here: Installation) -> str:
    """Return what the cluster says of pods that are not well, for who looks into a failure."""
    with suppress(LaundryError):
        pods = here.kubectl("get", "pods", "--output", "wide")
        events = here.kubectl("get", "events", "--sort-by=.lastTimestamp").splitlines()[-12:]
        return "\n".join([pods, *events])
    return ""
