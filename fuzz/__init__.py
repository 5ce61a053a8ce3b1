"""Coverage-guided fuzzing of everything that takes input (`make fuzz`); see docs/fuzzing.md.

A target is a function of bytes that raises when mpkgraph does what it must not: an exception that
is no message, output that its own format can't be read as, an answer that another way of asking
contradicts. Targets need no fuzzer: tests call them with what was found before.
"""
