"""The command line: one module per command.

Nothing else in this project knows the terminal. `reports` and `check` make the answers, `service`
and `intake` do the work; a command only calls them and prints.
"""
