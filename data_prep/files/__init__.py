"""Read and write files: documents, arrays, digests, atomic replacement, locks.

| files | modules |
|---|---|
| YAML and JSON, by a schema | :mod:`.documents` |
| their values | :mod:`.yaml_values`, :mod:`.json_values` |
| their faults | :mod:`.document_errors` |
| NumPy | :mod:`.arrays` |
| records of size and SHA-256 | :mod:`.digests` |
| URLs, and data dirs at URLs | :mod:`.remote`, :mod:`.mirror` |
| models of the hub | :mod:`.hub`, :mod:`.model_folders` |
| results of interrupted commands | :mod:`.shards` |

Files are written by :mod:`.replacing`, whole or not at all, and into folders under a :mod:`.lock`.
"""
