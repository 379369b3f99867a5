"""What a running worker tells about itself: logs, metrics, the watchdog, systemd's notifications.

Only the names and forms of what is told are here; what happened is told by whoever did it.
"""
