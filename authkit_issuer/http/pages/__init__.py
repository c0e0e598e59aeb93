"""HTML pages and the development inbox."""
