"""What the server of forked processes does once, before it forks: the usual command is composed.

It is imported from the folder of the repository, which alone is on the path of that server.
"""

from tests.composed_configs import compose_before, remember

remember()
compose_before()
