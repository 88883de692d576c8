"""The explanation of a cell: its derivation, proven, as text, LaTeX, Markdown, HTML."""
