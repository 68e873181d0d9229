"""Training over silos: the coordinator, the silo's agent with its policy, gate and ledger, and the setup of both."""
