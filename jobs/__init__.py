"""What should run, and when: jobs, their schedules, policies, versions and audit trail."""
