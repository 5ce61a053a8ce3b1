"""The task functions, one module a family. Only these import torch."""
