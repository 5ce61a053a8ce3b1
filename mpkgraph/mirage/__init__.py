"""The bridge to the real Mirage: find it, compile in a child process, run on a GPU.

Everything that depends on which version of Mirage is installed is here, and is found out by looking
at it, not by its number. Mirage itself, torch and the user's script are imported in a child process
only (`child/`): what kills that process becomes an error here.
"""
