"""Pictures as pure functions: typed rows in, a matplotlib ``Figure`` or an SVG string out. All read without colour."""
