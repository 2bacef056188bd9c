"""What ran, runs and will run: the ledger, the engine and its handlers."""
