"""What the admin pages of all apps share; it knows no app."""
