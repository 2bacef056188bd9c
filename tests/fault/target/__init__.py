"""What the scheduler calls in fault tests. It keeps its own log, which no part of the product reads."""
