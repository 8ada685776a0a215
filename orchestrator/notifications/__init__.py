"""How messages leave: HTTP, mail, and whatever Apprise can reach. No block, no store: text in, an answer or error out.

A receiver may be slow, broken or hostile. So every transport has a time by which it has ended, reads no more of an
answer than it shows, and never repeats the secret part of an address in an error or a log.
"""
