"""The roof: settings, addresses and entry points. It composes the apps; no app imports it."""
