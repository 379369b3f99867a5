"""What people type, and what a terminal shows of it: one module for each command.

Nothing else in this project knows the terminal. Answers are made in `reports` and `check`, work is
done in `service` and `intake`; a command only asks for them and prints.
"""
