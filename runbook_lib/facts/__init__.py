"""Read-only gatherers, one module a subject. Nothing here changes a node, not even by a temporary file.

Each module has pure ``parse_…`` functions over text or API JSON, which raise ``ValueError`` for what they
cannot read, and ``read_…`` gatherers over a ``Node`` or ``Cluster``, which raise ``NodeError``.
"""
