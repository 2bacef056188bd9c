"""Outgoing HTTP that is safe to expose: one guard, one deadline, bounded memory.

`Caller.call` makes one call; jobs, webhooks and chat alerts all go through it. The package
knows no Django and no model: everything it needs comes in as arguments.
"""
