"""An installation, looked at before it is needed: finding by finding, each with its cure.

What the worker does about trouble while it runs is not here.
"""
