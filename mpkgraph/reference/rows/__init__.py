"""The rows of the table of task functions, one module a family. Imports no torch."""
