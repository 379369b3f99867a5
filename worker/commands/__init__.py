"""The commands that print: each a flow, and how it looks in a terminal."""
