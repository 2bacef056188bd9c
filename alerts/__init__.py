"""Who is told what happened: alert rules and their deliveries."""
