"""Objects of other projects' kinds, held against types that are generated from these projects' definitions.

TypeScript refuses what is misspelt, too, which a definition's schema lets pass.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from laundry.deploy.tools import Tool

PACKAGES = {
    "cert-manager.io/v1": "cert-manager",
    "gateway.networking.k8s.io/v1": "gateway-api",
    "keda.sh/v1alpha1": "keda",
    "monitoring.coreos.com/v1": "prometheus-operator",
    "monitoring.coreos.com/v1alpha1": "prometheus-operator",
}
"""The package @kubernetes-models/... of each API."""
OWN_TYPES = {"rabbitmq.com/v1beta1": "rabbitmq_cluster"}
"""Files here with the types of what no package has."""
KNOWN = PACKAGES.keys() | OWN_TYPES.keys()
OPTIONS = {
    "noEmit": True,
    "strict": True,
    "skipLibCheck": True,
    "module": "preserve",
    "moduleResolution": "bundler",
    "target": "es2022",
    "types": [],
}


def is_custom(each: dict[str, Any]) -> bool:
    """Whether Kubernetes itself does not know an object's kind."""
    group = each["apiVersion"].rpartition("/")[0]
    return ("." in group and not group.endswith(".k8s.io")) or each["apiVersion"] in PACKAGES


def complaints(objects: list[dict[str, Any]], compiler: Tool, folder: Path) -> list[str]:
    """Return what is wrong with those of the known kinds, and which kinds are not known.

    Args:
        compiler: TypeScript's.
        folder: where the packages are installed.
    """
    unknown = {each["kind"] for each in objects if is_custom(each)} - {
        each["kind"] for each in objects if each["apiVersion"] in KNOWN
    }
    known = [each for each in objects if each["apiVersion"] in KNOWN]
    text = "\n".join(_declared(each, number) for number, each in enumerate(known))
    with tempfile.TemporaryDirectory(prefix="check-", dir=folder) as made:
        project = Path(made)
        (project / "objects.ts").write_text(text)
        for own in OWN_TYPES.values():
            shutil.copy(Path(__file__).with_name(f"{own}.d.ts"), project)
        (project / "tsconfig.json").write_text(
            json.dumps({"compilerOptions": OPTIONS, "files": ["objects.ts"]})
        )
        done = compiler.run(["-p", str(project / "tsconfig.json")], cwd=project)
    found = [f"nobody knows how to check the kind {kind}" for kind in sorted(unknown)]
    for line in done.stdout.splitlines():
        place = re.match(r"objects\.ts\((\d+),", line)
        # Two lines each: the import, then the object.
        whose = known[(int(place[1]) - 1) // 2] if place else None
        name = f"{whose['kind']} {whose['metadata']['name']}: " if whose else ""
        found.append(name + re.sub(r"^\S+ error ", "", line))
    if done.returncode != 0 and not found:
        found.append(f"TypeScript: {done.stderr.strip()[-500:]}")
    return found


def _declared(each: dict[str, Any], number: int) -> str:
    api = each["apiVersion"]
    package = f"@kubernetes-models/{PACKAGES[api]}/{api}" if api in PACKAGES else f"./{OWN_TYPES[api]}"
    return (
        f'import type {{I{each["kind"]} as T{number}}} from "{package}";\n'
        f"export const object{number}: T{number} = {json.dumps(each)};"
    )
