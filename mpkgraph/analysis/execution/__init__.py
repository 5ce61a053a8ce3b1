"""The order in which tasks run: what may run when, schedules, hangs, legality. No torch here."""
