"""Read-only gatherers, one module per subject. Nothing here changes a node or leaves a temporary file on it.

Each module has pure ``parse_…`` functions over text or API JSON, which raise ``ValueError`` for what they
cannot read, and ``read_…`` gatherers over a ``Node`` or ``Cluster``, which raise ``NodeError``.
"""
