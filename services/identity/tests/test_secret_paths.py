import logging

import pytest

from identity.secret_paths import LOGGERS, keep_out_of_the_log


@pytest.mark.parametrize("logger", LOGGERS)
def test_the_secret_of_a_link_stays_out_of_the_log(logger: str, caplog: pytest.LogCaptureFixture) -> None:
    keep_out_of_the_log()
    keep_out_of_the_log()
    for path in ("/invitation/s3cret", "/invitation/s3cret/", "/accounts/password/reset/key/1-s3cret/"):
        with caplog.at_level(logging.WARNING, logger):
            logging.getLogger(logger).warning("%s: %s", "Unprocessable Entity", path)
    assert "s3cret" not in caplog.text
    assert caplog.text.count("…") == 3
