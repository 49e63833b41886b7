"""The files of an archive, here or at a URL, and the keys that sign them."""
