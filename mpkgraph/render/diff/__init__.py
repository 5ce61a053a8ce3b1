"""A diff as text, JSON, HTML and Graphviz: results in, bytes out."""
