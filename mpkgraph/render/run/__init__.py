"""What running a pipeline came to, for people, programs and as pictures."""
