"""Who rings for a fault at once, and who stands by. Pure rules.

The owner who was first seen with the branch, of those with a phone, rings at once. The others ring one after
the other while nobody acknowledges the fault, and then the operators. All owners find it in their history.
"""

from collections.abc import Iterable, Sequence

from notification.model import State


def first_states(has_phone: Sequence[bool], *, at_once: int) -> Sequence[State]:
    """Return how a fault gets to the owners of its branch, given in order.

    Args:
        has_phone: whether each has a phone.
        at_once: so many of those with a phone ring at once.
    """
    return list(_states(has_phone, at_once))


def _states(has_phone: Sequence[bool], left: int) -> Iterable[State]:
    for phone in has_phone:
        if not phone:
            yield "no_device"
        elif left > 0:
            left -= 1
            yield "pending"
        else:
            yield "standby"
