"""How work is claimed, kept under a lease, paused in trouble and given back: one loop, two queues.

What is done with a claimed upload is in `intake`, with a claimed session in `processing`.
"""
