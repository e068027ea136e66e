"""How secrets are hashed."""

import threading

from django.contrib.auth.hashers import Argon2PasswordHasher


class PasswordHasher(Argon2PasswordHasher):
    """Argon2id at the cost that OWASP asks for (19 MiB, two passes); Django's is five times as large.

    Few at once: what many sign-ins at the same time need must fit beside everything else.
    """

    memory_cost = 19 * 1024
    time_cost = 2
    parallelism = 1
    _at_once = threading.BoundedSemaphore(4)

    def encode(self, password: str, salt: str) -> str:
        """Hash a password; only so many are hashed at once, for the memory that each takes."""
        with self._at_once:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Compare a password with a hash."""
        with self._at_once:
            return super().verify(password, encoded)
