"""A Spark Connect server on a free port of this machine: a process of its own, which prints the port and ends with its
standard input::

    python tests/spark_connect_server.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import spark_session

SETTINGS = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
}


def main() -> None:
    """Serve until nobody listens any more."""
    session = spark_session.start(Path(sys.argv[1]), SETTINGS)
    service = getattr(session._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
    print(getattr(service, "MODULE$").localPort(), flush=True)
    sys.stdin.read()
    session.stop()


if __name__ == "__main__":
    main()
