"""How values look where a page does not say it itself."""
