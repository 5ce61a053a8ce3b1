"""What runs in the child process: Mirage, torch and the user's script, watched and written down."""
