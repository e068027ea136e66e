"""The sandbox as a pod has it, in a container of its own; and what no process in it may be given."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from laundry_learning.sandbox.environment import PASSED_ON
from laundry_learning.sandbox.launcher import SidecarSandbox

ENDS_WITHIN_S = 20.0

SECRETS = {
    "LAUNDRY_MODEL_SIGNING_KEY": "the-signing-key",
    "LAUNDRY_DATABASE_URL": "postgresql://mlops:secret@db/mlops",
    "LAUNDRY_AMQP_URL": "amqp://mlops:secret@broker",
    "LAUNDRY_S3_SECRET_KEY": "the-store's-key",
    "AWS_SECRET_ACCESS_KEY": "another-key",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
}
"""What the environment of a training run holds."""

ALLOWED = {*PASSED_ON, "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE", "PWD", "_"}
"""What the environment of a confined process may hold."""


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[SidecarSandbox]:
    """Start the server that another container runs, with its socket in ``folder``, and hold it."""
    path = folder / "sandbox.sock"
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "laundry_learning.sandbox.server", str(path)
    )
    sandbox = SidecarSandbox(path)
    await sandbox.hold()
    yield sandbox
    assert sandbox._held is not None
    sandbox._held.close()
    # It ends by itself when nobody holds it any more.
    assert await asyncio.wait_for(server.wait(), ENDS_WITHIN_S) == 0
