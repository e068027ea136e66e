"""Plans a job on dead letters: exactly those that the operator saw, with a preview."""

from collections import Counter
from dataclasses import replace

from operations.jobs import NewJob
from operations.service.letters import LetterReader


async def plan(job: NewJob, letters: LetterReader) -> NewJob:
    """Choose the dead letters of a job among those that are waiting now.

    Raises:
        BrokerAway, QueueBusy, DeadLetterError
    """
    letters.forget(job.queue)
    [snapshot] = await letters.snapshots([job.queue])
    ids = set(job.ids)
    meant = [
        letter
        for letter in snapshot.letters
        if (job.reason is None or job.reason in (letter.reason, letter.error_class))
        and (not ids or ids & {letter.id, letter.fingerprint})
    ][: job.at_most]
    groups = Counter((letter.reason, letter.error_class, letter.redriven) for letter in meant)
    preview = {
        "waiting": snapshot.waiting,
        "looked_at": len(snapshot.letters),
        "groups": [
            {"reason": reason, "error_class": error or None, "redriven": redriven, "count": count}
            for (reason, error, redriven), count in groups.most_common()
        ],
    }
    return replace(job, targets=tuple(letter.fingerprint for letter in meant), preview=preview)
