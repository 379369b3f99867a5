"""What a running worker reports about itself: logs, metrics, watchdog, systemd notifications.

Only the names and formats belong here; the module in which something happens reports it.
"""
