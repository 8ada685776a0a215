"""People: users with passwords and API keys, teams with a role and a scope, sessions, and what each of them may.

They are documents in the store, and rights of the server: whoever reaches the store itself may do everything.
"""
