"""The dry run of the migrations: all of them in one transaction, which is then taken back.

It speaks to PostgreSQL itself, so it is the only package beside `local` that needs asyncpg, and a
worker in service imports none of it but its errors. What is printed does not belong here.
"""
