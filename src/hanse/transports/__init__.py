"""How tasks reach silos and replies come back: in this process, or over NATS."""
