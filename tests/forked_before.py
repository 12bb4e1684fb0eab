"""What the server of forked processes does once, before it forks, such as to compose a command.

It is imported from the folder of the repository, which alone is on the path of that server.
"""

from tests.composed_configs import compose_before, remember
from tests.unsynced_files import do_not_sync

do_not_sync()
remember()
compose_before()
