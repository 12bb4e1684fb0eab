"""The generated pages of the documentation: each module returns pages as ``{path: Markdown}``.

``make docs-pages`` writes those that the repository keeps, and a test compares them with the code.
The others are made whenever the site is built, by :mod:`reference_pages.hooks`.
"""
