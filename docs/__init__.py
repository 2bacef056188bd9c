"""The documentation, and what makes pages and pictures of it."""
