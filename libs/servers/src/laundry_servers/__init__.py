"""Real servers for the local stack and for tests: RabbitMQ, PostgreSQL, S3 and FCM, each in three ways.

``given`` takes addresses from the environment, ``docker`` starts containers, ``native`` starts processes
of this machine without Docker.
"""
