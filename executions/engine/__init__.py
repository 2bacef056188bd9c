"""The engine: plan, claim, run, complete, keep house. Only `loop` knows its siblings."""
