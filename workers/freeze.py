"""The last module that the fork server imports, and it alone: whatever is there by then is never collected.

A collection in a runner would write to each object it inherits, and so copy every page of the server's heap.
"""

import gc

gc.freeze()
